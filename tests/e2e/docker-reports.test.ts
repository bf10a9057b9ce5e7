/** What a worker tells of its host's Docker, while Docker comes and goes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { DockerDoor, docker, hasDocker, image, importImage, named, Post, runContainer, tidy } from "./docker-support.ts";
import { soon, testMs, until } from "./support.ts";

const freePort = async () => {
	const server = Bun.serve({ port: 0, fetch: () => new Response() });
	const { port } = server;
	await server.stop(true);
	return port ?? 0;
};

describe.skipIf(!hasDocker)("reports on a real Docker Engine (needs Docker and busybox)", () => {
	const door = new DockerDoor();
	let post: Post;
	let metricsPort: number;
	beforeAll(async () => {
		importImage();
		await door.open();
		metricsPort = await freePort();
		post = await Post.start({ MUSTER_DOCKER_SOCKET: door.path, MUSTER_METRICS_PORT: String(metricsPort) });
	}, testMs);
	afterAll(async () => {
		await post[Symbol.asyncDispose]();
		await door[Symbol.asyncDispose]();
		tidy();
	}, testMs);

	const container = (name: string) => post.plane.desk.engines.at(-1)?.containers.find((one) => one.name === name);
	const told = (what: string, condition: () => boolean) => soon(what, post.plane.until(condition));
	const metrics = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();

	test(
		"H9 H10: the server knows the engine, its containers as they change, their events without exec's chatter, and their figures",
		async () => {
			const { desk } = post.plane;
			const name = named("told");
			const id = docker("run", "--detach", "--label", "a=b", "--publish", "127.0.0.1:0:80", "--memory", "64m", "--name", name, image);
			await told("the container", () => container(name)?.state === "running");
			expect(desk.engines.at(-1)).toMatchObject({ reason: null, engine: { id: docker("info", "--format", "{{.ID}}") } });
			expect(container(name)).toMatchObject({ id, image, labels: expect.arrayContaining([{ key: "a", value: "b" }]) });
			expect(container(name)?.ports).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+->80\/tcp$/)]);
			await told("its figures", () => desk.stats.some((one) => one.containerId === id));
			const stats = desk.stats.find((one) => one.containerId === id);
			expect(stats?.memoryLimitBytes).toBe(64 * 1_048_576);
			expect(stats?.memoryBytes).toBeGreaterThan(0);
			docker("exec", name, "echo", "chatter");
			docker("rm", "--force", name);
			await told(
				"its end",
				() => container(name) === undefined && desk.events.some((one) => one.subject === id && one.action === "destroy"),
			);
			const actions = desk.events.filter((one) => one.subject === id).map(({ action }) => action);
			expect(actions).toEqual(expect.arrayContaining(["create", "start", "die", "destroy"]));
			expect(actions.filter((action) => action.startsWith("exec"))).toEqual([]);
			expect(desk.events.find((one) => one.subject === id)).toMatchObject({ type: "container", name, attributes: { a: "b" } });
			expect(await metrics()).toContain("muster_worker_docker_up 1\n");
		},
		testMs,
	);

	test(
		"H9: Docker stops: the server is told why, heartbeats go on, commands fail with it; Docker comes back: so does the engine, and what happened meanwhile is told once",
		async () => {
			const { desk, beats } = post.plane;
			await door.shut();
			await told("that it is gone", () => desk.engines.at(-1)?.engine === null);
			expect(desk.engines.at(-1)?.reason).toContain("Docker");
			expect(desk.engines.at(-1)?.containers).toEqual([]);
			const count = beats.length;
			await told("heartbeats", () => beats.length > count + 3);
			const refused = desk.order("container.inspect", { container: "x" });
			expect(await post.end(refused)).toMatchObject({ error: { code: "docker_unavailable", message: expect.stringContaining(door.path) } });
			expect(await metrics()).toContain("muster_worker_docker_up 0\n");
			const id = runContainer("meanwhile");
			await door.open();
			await told("that it is back", () => desk.engines.at(-1)?.engine !== null && container(named("meanwhile")) !== undefined);
			await told("what happened", () => desk.events.some((one) => one.subject === id && one.action === "start"));
			docker("rm", "--force", id);
			await told("what happens now", () => desk.events.some((one) => one.subject === id && one.action === "destroy"));
			const keys = desk.events.map((one) => JSON.stringify(one));
			expect(new Set(keys).size).toBe(keys.length);
			expect(await metrics()).toContain("muster_worker_docker_losses_total 1\n");
		},
		testMs,
	);

	test(
		"H9: events that happen while the server is away are told when it is back",
		async () => {
			const { desk } = post.plane;
			await post.plane.stop();
			const id = runContainer("unheard");
			docker("rm", "--force", id);
			await post.plane.start();
			await told("the events", () => desk.events.some((one) => one.subject === id && one.action === "destroy"));
		},
		testMs,
	);

	test(
		"H10: a log of 100 MB with a reader who does not read costs the worker no memory, and arrives whole once he reads",
		async () => {
			const { desk } = post.plane;
			const megabytes = 100;
			const id = docker(
				"run",
				"--detach",
				"--network",
				"none",
				"--name",
				named("long"),
				image,
				"sh",
				"-c",
				`yes 0123456789abcdef0123456789abcde | head -c ${megabytes * 1_000_000}`,
			);
			await until("the log written", () => docker("inspect", "--format", "{{.State.Status}}", id) === "exited");
			const pid = post.worker?.child.pid;
			const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_000;
			const before = memory();
			const gate = Promise.withResolvers<boolean>();
			desk.reader = () => gate.promise;
			const logs = desk.order("container.logs", { container: id, follow: false, tail: null, since: null, timestamps: false });
			await told("a full window", () => desk.unanswered === 4);
			const stalledAt = post.plane.beats.length;
			await told("heartbeats meanwhile", () => post.plane.beats.length > stalledAt + 20);
			const stalled = memory();
			gate.resolve(true);
			let most = stalled;
			desk.reader = () => {
				most = Math.max(most, memory());
				return Promise.resolve(true);
			};
			expect((await post.end(logs)).state).toBe("SUCCEEDED");
			expect(desk.output(logs).length).toBe(megabytes * 1_000_000);
			expect(desk.mostUnanswered).toBe(4);
			expect(stalled - before).toBeLessThan(30);
			expect(most - before).toBeLessThan(100);
		},
		testMs,
	);
});
