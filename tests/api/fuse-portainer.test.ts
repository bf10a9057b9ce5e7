import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type FakeAgent, fakeAgent, type FakePortainer, fakePortainer } from "../support/fakes/portainer.ts";
import { asAdmin, type Muster, startMuster } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { act, auditOf, becomes, commandOf, newHost, type TestHost } from "./commands-support.ts";
import { fuse, fusionIs, hostIs, hostNow, type Orders, unfuse, withWorker } from "./fuse-support.ts";
import { metric } from "./support.ts";

describe.each(runtimeNames)("fusing by Portainer on %s", (runtime) => {
	let portainer: FakePortainer;
	let database: TestDatabase;
	let server: Muster;
	const bench = {
		get server() {
			return server;
		},
		get database() {
			return database;
		},
	};
	const agents: FakeAgent[] = [];
	beforeAll(async () => {
		portainer = await fakePortainer();
		database = await testDatabase();
		const env = { MUSTER_PORTAINER_URL: portainer.url, MUSTER_PORTAINER_API_KEY: portainer.apiKey, MUSTER_STALE_SECONDS: "86400" };
		server = await startMuster({ runtime, databaseUrl: database.url, env: { ...env, MUSTER_LOG_LEVEL: "debug" } });
	});
	afterAll(async () => {
		await Promise.all(agents.map((agent) => agent.stop()));
		await server?.stop();
		await database?.drop();
		await portainer?.close();
	});

	const expire = (hostId: string) => database.db.sql`update fusions set deadline_at = now() - interval '1 s' where host_id = ${hostId}`;

	/** Does what the worker does with `agent.deploy`, and runs the agent. */
	async function deploy(orders: Orders) {
		const order = await orders.next("agent.deploy");
		const params = order.params as { edgeKey: string; edgeId: string; image: string; insecurePoll: boolean };
		const agent = fakeAgent(params);
		agents.push(agent);
		await orders.worker.report(order.commandId, "SUCCEEDED", { result: { containerId: "agent" } });
		return { agent, params };
	}

	async function fused(host: TestHost, orders: Orders) {
		await fuse(server, host.hostId, "PORTAINER");
		const { agent, params } = await deploy(orders);
		return { agent, params, host: await hostIs(server, host.hostId, "FUSED") };
	}

	/** Ends the undoing that is under way. */
	async function undone(host: TestHost, orders: Orders) {
		await orders.does("agent.remove");
		return fusionIs(server, host.hostId, "ENDED");
	}

	test("a host is FUSED after its environment was made, its agent rolled out and checked in, and its engine answered through the proxy (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			const { params, host: now } = await fused(host, orders);
			expect(params).toMatchObject({ image: "portainer/agent:2.33.5", insecurePoll: false });
			expect(now.fuseProvider).toBe("PORTAINER");
			const { environmentId, engineId } = now.fusion;
			expect(engineId).toBe(portainer.engine.id);
			expect(portainer.environments.get(environmentId)).toMatchObject({ EdgeID: params.edgeId, EdgeKey: params.edgeKey });
			expect(orders.kinds()).toEqual(["agent.deploy"]);
			await unfuse(server, host.hostId);
			await undone(host, orders);
			expect(portainer.environments.has(environmentId)).toBe(false);
		});
	});

	test("the join key is nowhere to be read: not in the audit log, the command, the database or the server's log", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			const { params } = await fused(host, orders);
			const dump = await database.db.sql.unsafe(
				"select string_agg(to_jsonb(c)::text, '') as text from (select to_jsonb(x) from commands x union all select to_jsonb(x) from audit x union all select to_jsonb(x) from events x union all select to_jsonb(x) from fusions x) c",
			);
			const seen = `${dump[0]?.["text"]} ${server.stderr()} ${(await auditOf(bench, host.hostId)).join()}`;
			expect(seen).toContain(host.hostId);
			expect(seen).not.toContain(params.edgeKey);
			expect(seen).not.toContain(portainer.apiKey);
			await unfuse(server, host.hostId);
			await undone(host, orders);
		});
	});

	test("a server that hands out Edge ids has its own used", async () => {
		portainer.enforceEdgeId = `enforced-${hex(4)}`;
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			const { params } = await fused(host, orders);
			expect(params.edgeId).toBe(String(portainer.enforceEdgeId));
			portainer.enforceEdgeId = undefined;
			await unfuse(server, host.hostId);
			await undone(host, orders);
		});
	});

	test("a check-in alone does not fuse: without a tunnel the watchdog takes it all back, the agent before its environment (H11)", async () => {
		const host = await newHost(bench);
		const before = await metric(server, 'muster_fuse_failed_total{source="watchdog_timeout"}');
		portainer.tunnels = false;
		await withWorker(server, host, async (orders) => {
			await fuse(server, host.hostId, "PORTAINER");
			const { agent } = await deploy(orders);
			const { environmentId } = await fusionIs(server, host.hostId, "CONNECT");
			await until("the first try was in vain", async () =>
				(await hostNow(server, host.hostId)).fusion.lastError?.includes("active tunnel"),
			);
			await expire(host.hostId);
			const { fusion } = await hostIs(server, host.hostId, "MONITORING");
			expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "watchdog_timeout", step: "REMOVE_AGENT" });
			expect(fusion.failureMessage).toContain("Unable to get the active tunnel");
			expect(portainer.environments.has(environmentId)).toBe(true);
			await undone(host, orders);
			expect(portainer.environments.has(environmentId)).toBe(false);
			await until("the agent is turned away", () => agent.lastStatus() === 403);
		});
		portainer.tunnels = true;
		expect(await metric(server, 'muster_fuse_failed_total{source="watchdog_timeout"}')).toBe(before + 1);
	});

	test("an agent that never checks in is given up at the deadline, though Portainer calls its environment up from the beginning (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fuse(server, host.hostId, "PORTAINER");
			await orders.does("agent.deploy", { containerId: "agent" });
			await until("it waits for the check-in", async () =>
				(await hostNow(server, host.hostId)).fusion.lastError?.includes("not checked in"),
			);
			await expire(host.hostId);
			await hostIs(server, host.hostId, "MONITORING");
			await undone(host, orders);
		});
		expect([...portainer.environments.values()].filter(({ Name }) => Name.includes(host.hostId))).toEqual([]);
	});

	test.each([
		[400, "cannot use localhost as environment URL"],
		[401, "Invalid API key"],
		[403, "Permission denied"],
		[409, "Name is not unique"],
	])("Portainer's refusal %i of the environment fails the fusion at once, in its own words (H11)", async (status, words) => {
		const host = await newHost(bench);
		const before = await metric(server, 'muster_fuse_failed_total{source="portainer_error"}');
		portainer.failNext(/^POST \/api\/endpoints$/, status, words);
		await fuse(server, host.hostId, "PORTAINER");
		const { fusion } = await hostIs(server, host.hostId, "MONITORING");
		expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "portainer_error" });
		expect(fusion.failureMessage).toContain(`Portainer answered ${status}`);
		expect(fusion.failureMessage).toContain(words);
		await fusionIs(server, host.hostId, "ENDED");
		expect(await metric(server, 'muster_fuse_failed_total{source="portainer_error"}')).toBe(before + 1);
		expect(await rowCount(database.db, "alerts", `host_id = '${host.hostId}' and kind = 'FUSE_FAILED'`)).toBe(1);
	});

	test("a Portainer that is away or at fault is asked again; an environment that was made without an answer is taken, not made twice", async () => {
		const host = await newHost(bench);
		portainer.failNext(/^GET \/api\/system\/status$/, 503, "starting");
		const release = portainer.holdNext(/^POST \/api\/endpoints$/);
		await withWorker(server, host, async (orders) => {
			await fuse(server, host.hostId, "PORTAINER");
			await until("the environment is made", () => portainer.environments.size > 0);
			// The server that asked is taken for dead: another one asks again, and the name is in use.
			await database.db.sql`update fusions set lease_until = now() where host_id = ${host.hostId}`;
			const { params } = await deploy(orders);
			const now = await hostIs(server, host.hostId, "FUSED");
			release();
			expect([...portainer.environments.values()].map(({ EdgeKey }) => EdgeKey)).toEqual([params.edgeKey]);
			await unfuse(server, host.hostId);
			await undone(host, orders);
			expect(portainer.environments.has(now.fusion.environmentId)).toBe(false);
		});
	});

	test("an environment that is made after its fusion was given up does not stay behind", async () => {
		const host = await newHost(bench);
		const release = portainer.holdNext(/^POST \/api\/endpoints$/);
		await fuse(server, host.hostId, "PORTAINER");
		await until("the environment is made", () => portainer.environments.size > 0);
		await unfuse(server, host.hostId);
		release();
		await fusionIs(server, host.hostId, "ENDED");
		expect(portainer.environments.size).toBe(0);
	});

	test("undoing goes on until Portainer lets the environment go, and is content when it is gone already", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fused(host, orders);
			portainer.failNext(/^DELETE /, 500, "database is locked");
			portainer.failNext(/^DELETE /, 404, "Unable to find an environment");
			await unfuse(server, host.hostId);
			await undone(host, orders);
			// Only the fake's word was that it is gone.
			for (const { Id } of portainer.environments.values())
				await fetch(`${portainer.url}/api/endpoints/${Id}`, { method: "DELETE", headers: { "x-api-key": portainer.apiKey } });
		});
		expect(portainer.asked.filter((call) => call.startsWith("DELETE ")).length).toBeGreaterThanOrEqual(2);
	});

	test("an agent that cannot be rolled out, or not removed, leaves no environment behind (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fuse(server, host.hostId, "PORTAINER");
			await orders.fails("agent.deploy", "docker_error", "pull access denied for portainer/agent");
			const { fusion } = await hostIs(server, host.hostId, "MONITORING");
			expect(fusion).toMatchObject({ failureSource: "docker_error" });
			expect(fusion.failureMessage).toContain("pull access denied");
			await orders.fails("agent.remove", "docker_unavailable", "Docker is stopped");
			await fusionIs(server, host.hostId, "ENDED");
			expect(portainer.environments.size).toBe(0);
		});
	});

	test("an agent at another engine than the worker's is no proof of this host (H11)", async () => {
		const host = await newHost(bench);
		await database.db.sql`
			insert into engines (tenant_id, host_id, engine_id, reported_at) select tenant_id, id, 'ELSEWHERE', now() from hosts where id = ${host.hostId}`;
		await withWorker(server, host, async (orders) => {
			await fuse(server, host.hostId, "PORTAINER");
			await deploy(orders);
			expect((await hostIs(server, host.hostId, "MONITORING")).fusion.failureMessage).toContain("ELSEWHERE");
			await undone(host, orders);
		});
	});

	test("changes go through Portainer's proxy in their order and not to the worker, and carry the command's label (H12)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fused(host, orders);
			const name = `web-${hex(4)}`;
			const create = await act(server, "createContainer", { hostId: host.hostId, image: "tiny", name, start: true });
			const stop = await act(server, "stopContainer", { hostId: host.hostId, container: name });
			const ended = await becomes(server, create.id, "SUCCEEDED");
			await becomes(server, stop.id, "SUCCEEDED");
			const made = portainer.engine.containers.find((one) => one.name === name);
			expect(made).toMatchObject({ Id: ended.result.containerId, state: "exited", spec: { Labels: { "io.muster.command": create.id } } });
			const bad = await act(server, "createContainer", { hostId: host.hostId, image: "no-such-image" });
			const refused = await becomes(server, bad.id, "FAILED");
			expect([refused.errorCode, refused.errorMessage]).toEqual(["not_found", expect.stringContaining("No such image")]);
			await becomes(server, (await act(server, "removeContainer", { hostId: host.hostId, container: name, force: true })).id, "SUCCEEDED");
			expect(portainer.engine.containers.some((one) => one.name === name)).toBe(false);
			expect(orders.kinds()).toEqual(["agent.deploy"]);
			expect((await auditOf(bench, create.id)).join()).toContain("command.succeeded");
			await unfuse(server, host.hostId);
			await undone(host, orders);
		});
	});

	test("a change whose server died is taken up by the next, which finds by the label what was done: nothing is made twice (H12)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fused(host, orders);
			const name = `once-${hex(4)}`;
			portainer.engine.silenceNext(/^POST \/containers\/create$/);
			const create = await act(server, "createContainer", { hostId: host.hostId, image: "tiny", name, start: true });
			await until("the container is made", () => portainer.engine.containers.some((one) => one.name === name));
			// The turn is another's now: the first, which waits for its answer, must not say how it ended.
			await database.db.sql`update command_runs set lease_until = now(), runs = runs + 1 where command_id = ${create.id}`;
			const ended = await becomes(server, create.id, "SUCCEEDED");
			expect(portainer.engine.containers.filter((one) => one.name === name)).toMatchObject([
				{ Id: ended.result.containerId, state: "running" },
			]);
			await unfuse(server, host.hostId);
			await undone(host, orders);
		});
	});

	test("a change can be cancelled while Portainer is at it, and unfusing does that too", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fused(host, orders);
			portainer.engine.silenceNext(/^POST \/containers\/create$/);
			const command = await act(server, "createContainer", { hostId: host.hostId, image: "tiny" });
			await becomes(server, command.id, "RUNNING");
			const waiting = await act(server, "createContainer", { hostId: host.hostId, image: "tiny" });
			await unfuse(server, host.hostId);
			await becomes(server, command.id, "CANCELLED");
			expect((await commandOf(server, waiting.id)).state).toBe("CANCELLED");
			await undone(host, orders);
		});
	});

	test("while a host is DEGRADED its changes wait, and go in their order when it is back (H13)", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			await fused(host, orders);
			await database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
			const names = [`q1-${hex(4)}`, `q2-${hex(4)}`];
			for (const name of names) await act(server, "createContainer", { hostId: host.hostId, image: "tiny", name });
			// Another host's change shows that the server has looked since.
			const other = await newHost(bench);
			await withWorker(server, other, async (theirs) => {
				await fused(other, theirs);
				await becomes(server, (await act(server, "createContainer", { hostId: other.hostId, image: "tiny" })).id, "SUCCEEDED");
				await unfuse(server, other.hostId);
				await undone(other, theirs);
			});
			expect(portainer.engine.containers.filter(({ name }) => names.includes(name))).toEqual([]);
			await database.db.sql`update hosts set state = 'FUSED' where id = ${host.hostId}`;
			await until("both are made", () => portainer.engine.containers.filter(({ name }) => names.includes(name)).length === 2);
			expect(portainer.engine.containers.flatMap(({ name }) => (names.includes(name) ? [name] : []))).toEqual(names);
			await unfuse(server, host.hostId);
			await undone(host, orders);
		});
	});

	test("deleting a fused host deletes its environment", async () => {
		const host = await newHost(bench);
		await withWorker(server, host, async (orders) => {
			const { host: now } = await fused(host, orders);
			await asAdmin(server, "mutation ($id: ID!) { deleteHost(id: $id) { deletedId } }", { id: host.hostId });
			await until("the environment is gone", () => !portainer.environments.has(now.fusion.environmentId));
		});
	});

	test("no environment is left of all these", () => {
		expect([...portainer.environments.values()]).toEqual([]);
	});
});
