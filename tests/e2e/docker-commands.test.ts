/** Every kind of command, done by the compiled worker on a real Docker Engine, for a scripted server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { docker, hasDocker, image, importImage, named, Post, runContainer, tidy } from "./docker-support.ts";
import { soon, testMs, until } from "./support.ts";

const secret = "the-edge-key-is-secret";

describe.skipIf(!hasDocker)("commands on a real Docker Engine (needs Docker and busybox)", () => {
	let post: Post;
	beforeAll(async () => {
		importImage();
		post = await Post.start();
	}, testMs);
	afterAll(async () => {
		await post[Symbol.asyncDispose]();
		tidy();
	}, testMs);

	const state = (name: string) => docker("inspect", "--format", "{{.State.Status}}", name);

	test(
		"H10 H12: a host that is not fused lets nobody change a container, whatever the server asks; inspect, logs and exec go",
		async () => {
			const { desk } = post.plane;
			const id = runContainer("watched", "sh", "-c", "echo out; echo err >&2; exec sleep 100000");
			const refused = [
				desk.order("container.create", { name: named("never"), image, spec: {}, start: true }),
				desk.order("container.start", { container: id }),
				desk.order("container.stop", { container: id, timeoutSeconds: 0 }),
				desk.order("container.restart", { container: id, timeoutSeconds: 0 }),
				desk.order("container.remove", { container: id, force: true, volumes: true }),
				desk.order("image.pull", { image }),
			];
			for (const command of refused) expect(await post.end(command)).toMatchObject({ state: "FAILED", error: { code: "not_fused" } });
			expect(state(id)).toBe("running");

			const inspected = await post.end(desk.order("container.inspect", { container: named("watched") }));
			expect(inspected).toMatchObject({ state: "SUCCEEDED", result: { Id: id, State: { Status: "running" } } });

			const logs = desk.order("container.logs", { container: id, follow: false, tail: null, since: null, timestamps: false });
			expect((await post.end(logs)).state).toBe("SUCCEEDED");
			expect([desk.output(logs, "STDOUT"), desk.output(logs, "STDERR")]).toEqual(["out\n", "err\n"]);

			const exec = { container: id, env: ["WHO=me"], workingDir: "/tmp", user: null, tty: false, stdin: false };
			const command = ["sh", "-c", "echo $WHO at $PWD; echo no >&2; exit 3"];
			const ran = desk.order("container.exec", { ...exec, command });
			expect(await post.end(ran)).toMatchObject({ state: "SUCCEEDED", result: { exitCode: 3 } });
			expect([desk.output(ran, "STDOUT"), desk.output(ran, "STDERR")]).toEqual(["me at /tmp\n", "no\n"]);

			const none = desk.order("container.inspect", { container: "muster-engine-none" });
			expect(await post.end(none)).toMatchObject({
				state: "FAILED",
				error: { code: "not_found", message: expect.stringContaining("No such container") },
			});
			expect(desk.reportsOf(ran).map((report) => report.state)).toEqual(["RUNNING", "SUCCEEDED"]);
		},
		testMs,
	);

	test(
		"H10: what is typed goes to an exec's stdin, and comes back as it is, with a terminal and without; what is cancelled ends",
		async () => {
			const { desk } = post.plane;
			const id = runContainer("typed");
			const exec = { container: id, env: [], workingDir: null, user: null, stdin: true };
			const cat = desk.order("container.exec", { ...exec, command: ["cat"], tty: false });
			desk.input(cat, "hello ");
			await soon(
				"the first words",
				post.plane.until(() => desk.output(cat) === "hello "),
			);
			desk.input(cat, "wörld", true);
			expect(await post.end(cat)).toMatchObject({ state: "SUCCEEDED", result: { exitCode: 0 } });
			expect(desk.output(cat)).toBe("hello wörld");

			const shell = desk.order("container.exec", { ...exec, command: ["sh"], tty: true });
			desk.input(shell, "echo $((6*7))\nexit 4\n");
			expect(await post.end(shell)).toMatchObject({ result: { exitCode: 4 } });
			expect(desk.output(shell)).toContain("\r\n42\r\n");

			const waiting = desk.order("container.exec", { ...exec, command: ["cat"], tty: false });
			await soon(
				"its beginning",
				post.plane.until(() => desk.reportsOf(waiting).length > 0),
			);
			desk.cancel(waiting);
			expect((await post.end(waiting)).state).toBe("CANCELLED");

			const followed = desk.order("container.logs", { container: id, follow: true, tail: 0, since: null, timestamps: false });
			const late = new Date(Date.now() + 2_000).toISOString();
			const limited = desk.order(
				"container.logs",
				{ container: id, follow: true, tail: 0, since: null, timestamps: false },
				{ deadline: late },
			);
			expect((await post.end(limited)).state).toBe("CANCELLED");
			expect(desk.endOf(followed)).toBeUndefined();
			desk.cancel(followed);
			expect((await post.end(followed)).state).toBe("CANCELLED");
		},
		testMs,
	);

	test(
		"H11 H12: proven and granted, the host's containers are created, started, stopped, restarted and removed; revoked, they are not",
		async () => {
			const { desk } = post.plane;
			const early = desk.order("fuse.grant", { provider: "DOCKER", engineId: docker("info", "--format", "{{.ID}}") });
			expect(await post.end(early)).toMatchObject({ state: "FAILED", error: { code: "not_fused" } });
			// What another test's killed worker left behind is not this one's.
			const probes = () => [
				docker("ps", "--all", "--quiet", "--filter", "label=io.muster.challenge"),
				docker("images", "--quiet", "muster-probe"),
			];
			const before = probes();
			const engineId = await post.fuse();
			expect(engineId).toBe(docker("info", "--format", "{{.ID}}"));
			expect(probes()).toEqual(before);

			const name = named("made");
			const spec = { Labels: { mine: "yes" }, HostConfig: { NetworkMode: "none" } };
			const made = await post.end(desk.order("container.create", { name, image, spec, start: true }));
			expect(made).toMatchObject({ state: "SUCCEEDED", result: { containerId: docker("inspect", "--format", "{{.Id}}", name) } });
			expect(docker("inspect", "--format", '{{.Config.Labels.mine}} {{index .Config.Labels "io.muster.command"}}', name)).toBe(
				`yes ${made.commandId}`,
			);
			expect(await post.end(desk.order("container.create", { name, image, spec, start: false }))).toMatchObject({
				error: { code: "conflict" },
			});
			const absent = desk.order("container.create", { name: named("x"), image: "muster-engine-absent:1", spec, start: false });
			expect(await post.end(absent)).toMatchObject({ error: { code: "not_found" } });

			const kept = desk.order("container.remove", { container: name, force: false, volumes: false });
			expect(await post.end(kept)).toMatchObject({ error: { code: "conflict" } });
			await post.end(desk.order("container.stop", { container: name, timeoutSeconds: 0 }));
			expect(state(name)).toBe("exited");
			await post.end(desk.order("container.start", { container: name }));
			const startedAt = docker("inspect", "--format", "{{.State.StartedAt}}", name);
			await post.end(desk.order("container.restart", { container: name, timeoutSeconds: 0 }));
			expect(docker("inspect", "--format", "{{.State.Status}} {{.State.StartedAt}}", name)).not.toBe(`running ${startedAt}`);
			expect((await post.end(desk.order("container.remove", { container: name, force: true, volumes: true }))).state).toBe("SUCCEEDED");
			expect(docker("ps", "--all", "--quiet", "--filter", `name=${name}`)).toBe("");
			expect(await post.end(desk.order("image.pull", { image: "muster-engine-absent:1" }))).toMatchObject({
				error: { code: "docker_error" },
			});

			const broken = { name: named("broken"), image, spec: { Cmd: ["/no/such/program"] }, start: true };
			expect((await post.end(desk.order("container.create", broken))).state).toBe("FAILED");
			expect(docker("ps", "--all", "--quiet", "--filter", `name=${named("broken")}`)).toBe("");

			expect((await post.end(desk.order("fuse.revoke", {}))).state).toBe("SUCCEEDED");
			const after = desk.order("container.create", { name, image, spec, start: true });
			expect(await post.end(after)).toMatchObject({ error: { code: "not_fused" } });
		},
		testMs,
	);

	test(
		"H12: a grant is for one engine: with another behind the socket nothing is changed, and the reason names both",
		async () => {
			const { desk } = post.plane;
			await post.fuse();
			post.worker?.child.kill("SIGTERM");
			await post.worker?.exited;
			const record = JSON.parse(post.machine.read("fuse.json"));
			post.machine.write("fuse.json", JSON.stringify({ ...record, grant: { ...record.grant, engineId: "ANOTHER" } }));
			await post.startWorker();
			const refused = await post.end(desk.order("container.create", { name: null, image, spec: {}, start: true }));
			expect(refused).toMatchObject({ error: { code: "not_fused", message: expect.stringContaining('"ANOTHER"') } });
			await post.end(desk.order("fuse.revoke", {}));
		},
		testMs,
	);

	test(
		"H11: the Edge agent is rolled out from an image that is there, again without harm, and removed with its volume; a stranger's stays",
		async () => {
			const { desk } = post.plane;
			// Its name is Portainer's: another test may have one up.
			await until("no Edge agent", () => docker("ps", "--all", "--quiet", "--filter", "name=^/portainer_edge_agent$") === "");
			const params = { image, edgeId: "edge-1", edgeKey: secret, insecurePoll: true };
			for (const _time of [1, 2]) expect(await post.end(desk.order("agent.deploy", params))).toMatchObject({ state: "SUCCEEDED" });
			const env = docker("inspect", "--format", "{{.Config.Env}} {{.HostConfig.RestartPolicy.Name}}", "portainer_edge_agent");
			expect(env).toContain(`EDGE=1 EDGE_ID=edge-1 EDGE_KEY=${secret} EDGE_INSECURE_POLL=1`);
			expect(env).toEndWith("always");
			expect(docker("volume", "ls", "--quiet", "--filter", "name=portainer_agent_data")).toBe("portainer_agent_data");
			expect((await post.end(desk.order("agent.remove", {}))).state).toBe("SUCCEEDED");
			expect((await post.end(desk.order("agent.remove", {}))).state).toBe("SUCCEEDED");
			expect(docker("volume", "ls", "--quiet", "--filter", "name=portainer_agent_data")).toBe("");

			docker("create", "--name", "portainer_edge_agent", image);
			expect(await post.end(desk.order("agent.deploy", params))).toMatchObject({ error: { code: "conflict" } });
			expect((await post.end(desk.order("agent.remove", {}))).state).toBe("SUCCEEDED");
			expect(docker("rm", "portainer_edge_agent")).toBe("portainer_edge_agent");
			expect(JSON.stringify(post.worker?.lines)).not.toContain(secret);
			expect(post.machine.read("commands.json")).not.toContain(secret);
		},
		testMs,
	);

	test(
		"H9: an order that is unknown or badly formed fails with what to do, and an order that comes again is not done again",
		async () => {
			const { desk } = post.plane;
			const unknown = desk.order("container.paint" as "container.start", { container: "x" });
			expect(await post.end(unknown)).toMatchObject({
				error: { code: "bad_request", message: expect.stringContaining("container.paint") },
			});
			const bad = desk.order("container.stop", { container: "", timeoutSeconds: -1 });
			expect(await post.end(bad)).toMatchObject({ error: { code: "bad_request" } });
			await post.fuse();
			const made = desk.order("container.create", { name: null, image, spec: {}, start: false });
			const first = await post.end(made);
			desk.repeat(made);
			await soon(
				"its end once more",
				post.plane.until(() => desk.reportsOf(made).filter(({ state }) => state === "SUCCEEDED").length === 2),
			);
			expect(docker("ps", "--all", "--quiet", "--filter", `label=io.muster.command=${first.commandId}`).split("\n")).toHaveLength(1);
			await post.end(desk.order("fuse.revoke", {}));
		},
		testMs,
	);
});
