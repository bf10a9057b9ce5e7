/** The worker is killed between doing and reporting, at the moment Docker has done it: nothing is done twice, and nothing that was done is lost. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { CommandKind, CommandParams } from "../../src/protocol/commands.ts";
import { DockerDoor, docker, hasDocker, image, importImage, named, Post, runContainer, tidy } from "./docker-support.ts";
import { soon, testMs, until } from "./support.ts";

describe.skipIf(!hasDocker)("a worker that is killed (needs Docker and busybox)", () => {
	const door = new DockerDoor();
	let post: Post;
	beforeAll(async () => {
		importImage();
		await door.open();
		post = await Post.start({ MUSTER_DOCKER_SOCKET: door.path });
		await post.fuse();
	}, testMs);
	afterAll(async () => {
		await post[Symbol.asyncDispose]();
		await door[Symbol.asyncDispose]();
		tidy();
	}, testMs);

	/** Gives an order, kills the worker once Docker has answered it and before the worker hears that, and starts another. */
	async function crashDuring<K extends CommandKind>(
		kind: K,
		params: CommandParams<K>,
		request: RegExp,
		meanwhile = () => {},
	): Promise<string> {
		door.swallowed = 0;
		door.swallow = request;
		const id = post.plane.desk.order(kind, params);
		await until("Docker's answer", () => door.swallowed > 0);
		await post.crash();
		door.swallow = undefined;
		meanwhile();
		await post.startWorker();
		return id;
	}
	const startedAt = (id: string) => docker("inspect", "--format", "{{.State.StartedAt}}", id);

	test(
		"H12: creating: there is one container afterwards, which is the one that was made, and it runs",
		async () => {
			const name = named("created");
			const params = { name, image, spec: { HostConfig: { NetworkMode: "none" } }, start: true };
			let made = "";
			const id = await crashDuring("container.create", params, /^POST \/v[\d.]+\/containers\/create/, () => {
				made = docker("inspect", "--format", "{{.Id}}", name);
			});
			expect(await post.end(id)).toMatchObject({ state: "SUCCEEDED", result: { containerId: made } });
			expect(docker("ps", "--all", "--quiet", "--no-trunc", "--filter", `label=io.muster.command=${id}`)).toBe(made);
			expect(docker("inspect", "--format", "{{.State.Running}}", made)).toBe("true");

			const unnamed = { name: null, image, spec: {}, start: false };
			const second = await crashDuring("container.create", unnamed, /^POST \/v[\d.]+\/containers\/create/);
			expect((await post.end(second)).state).toBe("SUCCEEDED");
			expect(docker("ps", "--all", "--quiet", "--filter", `label=io.muster.command=${second}`).split("\n")).toHaveLength(1);
		},
		testMs,
	);

	test(
		"H12: starting, restarting and stopping: each once",
		async () => {
			const id = runContainer("moved");
			let after = "";
			const look = () => {
				after = startedAt(id);
			};
			const before = startedAt(id);
			const restart = await crashDuring("container.restart", { container: id, timeoutSeconds: 0 }, /\/restart/, look);
			expect((await post.end(restart)).state).toBe("SUCCEEDED");
			expect([after === before, startedAt(id)]).toEqual([false, after]);

			const stop = await crashDuring("container.stop", { container: id, timeoutSeconds: 0 }, /\/stop/, () => {
				docker("start", id);
				look();
			});
			expect((await post.end(stop)).state).toBe("SUCCEEDED");
			expect([docker("inspect", "--format", "{{.State.Running}}", id), startedAt(id)]).toEqual(["true", after]);

			docker("stop", "--time", "0", id);
			const start = await crashDuring("container.start", { container: id }, /\/start/, () => {
				docker("stop", "--time", "0", id);
			});
			expect((await post.end(start)).state).toBe("SUCCEEDED");
			expect(docker("inspect", "--format", "{{.State.Running}}", id)).toBe("false");
		},
		testMs,
	);

	test(
		"H12: removing: another container that has the name by then stays",
		async () => {
			const former = runContainer("reused");
			let other = "";
			const id = await crashDuring("container.remove", { container: named("reused"), force: true, volumes: false }, /^DELETE/, () => {
				other = runContainer("reused");
			});
			expect(await post.end(id)).toMatchObject({ state: "SUCCEEDED", result: { containerId: former } });
			expect(docker("inspect", "--format", "{{.Id}}", named("reused"))).toBe(other);
		},
		testMs,
	);

	test(
		"H10: an exec that was under way is reported as interrupted, and did its work once",
		async () => {
			const id = runContainer("written");
			const params = { container: id, command: ["sh", "-c", "echo once >> /tmp/log; sleep 1000"], env: [], workingDir: null, user: null };
			const exec = post.plane.desk.order("container.exec", { ...params, tty: false, stdin: false });
			await until("its work", () => docker("exec", id, "sh", "-c", "[ -f /tmp/log ] && echo yes || echo no") === "yes");
			await post.crash();
			await post.startWorker();
			expect(await post.end(exec)).toMatchObject({ state: "FAILED", error: { code: "interrupted" } });
			expect(docker("exec", id, "cat", "/tmp/log")).toBe("once");
		},
		testMs,
	);

	test(
		"H12: killed after the end was kept and before the server took it in: the next worker tells the same end, and asks Docker for nothing",
		async () => {
			const { desk } = post.plane;
			const id = runContainer("kept");
			desk.deaf = true;
			const restart = desk.order("container.restart", { container: id, timeoutSeconds: 0 });
			await soon(
				"its end, unheard",
				post.plane.until(() => desk.reportsOf(restart).some(({ state }) => state === "SUCCEEDED")),
			);
			await post.crash();
			const before = startedAt(id);
			docker("stop", "--time", "0", id);
			desk.deaf = false;
			await post.startWorker();
			expect((await post.end(restart)).state).toBe("SUCCEEDED");
			expect([startedAt(id), docker("inspect", "--format", "{{.State.Running}}", id)]).toEqual([before, "false"]);
		},
		testMs,
	);

	test(
		"A16: SIGTERM ends a worker in less than two seconds, whatever is under way; the next one finishes what was in the ordered lane",
		async () => {
			const { desk } = post.plane;
			const id = runContainer("slow", "sh", "-c", "trap '' TERM; while :; do sleep 1; done");
			const logs = desk.order("container.logs", { container: id, follow: true, tail: 0, since: null, timestamps: false });
			const stop = desk.order("container.stop", { container: id, timeoutSeconds: 5 });
			const waits = desk.order("container.start", { container: id });
			await soon(
				"their beginning",
				post.plane.until(() => [logs, stop].every((one) => desk.reportsOf(one).length > 0)),
			);
			const startedMs = performance.now();
			post.worker?.child.kill("SIGTERM");
			expect(await post.worker?.exited).toBe(0);
			expect(performance.now() - startedMs).toBeLessThan(2_000);
			await post.startWorker();
			expect((await post.end(stop)).state).toBe("SUCCEEDED");
			expect((await post.end(waits)).state).toBe("SUCCEEDED");
			expect(await post.end(logs)).toMatchObject({ state: "FAILED", error: { code: "interrupted" } });
			expect(docker("inspect", "--format", "{{.State.Running}}", id)).toBe("true");
		},
		testMs,
	);
});
