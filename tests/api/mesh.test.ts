/** The mesh as the API shows it: real servers on either runtime, before a real Headscale when the environment has one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { enrollDocument, enrollReply } from "../../src/protocol/operations.ts";
import { generateReplyKey, open } from "../../src/protocol/seal.ts";
import * as v from "valibot";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type Backend, backends, usableKeys } from "../support/mesh/backends.ts";
import { type Gate, openGate } from "../support/mesh/gate.ts";
import { asAdmin, graphql, type Muster, startMuster } from "../support/muster.ts";
import { hex, holding, lockWaiters, rowCount, sharedSecret } from "../support/pipeline.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { heartbeat, metric } from "./support.ts";

const [kind] = backends;

describe.each(runtimeNames)("a server with a mesh on %s", (runtime) => {
	const opened: { backend?: Backend; gate?: Gate; database?: TestDatabase; server?: Muster } = {};
	const env = (gate: Gate, backend: Backend) => ({
		MUSTER_SHARED_SECRET: sharedSecret,
		MUSTER_MESH: "headscale",
		MUSTER_HEADSCALE_URL: gate.url,
		MUSTER_HEADSCALE_API_KEY: backend.apiKey,
		MUSTER_HEADSCALE_USER: backend.user,
		MUSTER_HEADSCALE_TAGS: "tag:muster",
		MUSTER_HEADSCALE_PUBLIC_URL: "https://mesh.test",
		MUSTER_SERVER_ADDR: "100.64.0.1:7480",
	});
	beforeAll(async () => {
		if (kind === undefined) throw new Error("There is no Headscale, not even a fake");
		opened.backend = await kind.start();
		opened.gate = await openGate(opened.backend.url);
		opened.database = await testDatabase();
		opened.server = await startMuster({ runtime, databaseUrl: opened.database.url, env: env(opened.gate, opened.backend) });
	}, 60_000);
	afterAll(async () => {
		await opened.server?.stop();
		await opened.gate?.shut();
		await opened.backend?.stop();
		await opened.database?.drop();
	});
	const there = () => {
		const { backend, gate, database, server } = opened;
		if (backend === undefined || gate === undefined || database === undefined || server === undefined) throw new Error("Not open");
		return { backend, gate, database, server };
	};
	const newHost = async () => {
		const name = `host-${hex(6)}`;
		const { createHost } = await asAdmin(
			there().server,
			"mutation ($input: CreateHostInput!) { createHost(input: $input) { secret host { id } } }",
			{ input: { name } },
		);
		return { id: String(createHost.host.id), name, token: String(createHost.secret) };
	};
	const inputFor = ({ name, token }: { name: string; token: string }, replyKey?: string) => ({
		enrollmentId: hex(16),
		credential: { hostToken: { token, sharedSecret } },
		worker: { name, machineUid: `uid-${hex(8)}` },
		...(replyKey === undefined ? {} : { replyKey }),
	});

	test("H7: the install snippets ask for the mesh by name, so that a host without Tailscale is told before its token is spent", async () => {
		const { server } = there();
		const query = (call: string) => `mutation ($of: %, $format: SnippetFormat) { made: ${call} { snippet host { id } } }`;
		for (const format of ["DOCKER", "SHELL", "COMPOSE"]) {
			const create = query("createHost(input: $of, format: $format)").replace("%", "CreateHostInput!");
			const { made } = await asAdmin(server, create, { of: { name: `host-${hex(6)}` }, format });
			expect(made.snippet).toMatch(/MUSTER_MESH_MODE(='userspace'|: "userspace")/);
			const again = query("regenerateHostToken(id: $of, format: $format)").replace("%", "ID!");
			expect((await asAdmin(server, again, { of: made.host.id, format })).made.snippet).toMatch(/MUSTER_MESH_MODE/);
		}
	});

	test("H6: the reply has the sealed mesh key, the control URL workers are told, and this server's mesh address; the worker can read it", async () => {
		const { server } = there();
		const pair = await generateReplyKey();
		const input = inputFor(await newHost(), pair.publicKey);
		const { data } = await graphql(server, enrollDocument, { input });
		const reply = v.parse(enrollReply, data.enroll);
		if (reply.__typename !== "Enrolled") throw new Error(JSON.stringify(reply));
		expect(reply.mesh).toMatchObject({
			provider: "headscale",
			controlUrl: "https://mesh.test",
			authKey: null,
			serverMeshAddress: "100.64.0.1:7480",
		});
		const text = await open(pair.privateKey, input.enrollmentId, reply.mesh?.sealedAuthKey ?? "", "meshKey");
		expect(text).toMatch(/^(hskey-auth-|[0-9a-f]{48})/);
		expect(server.stderr()).not.toContain(text);
		expect(await metric(server, 'muster_mesh_mints_total{result="minted"}')).toBeGreaterThan(0);
	});

	test("H17: what a worker says of the mesh is its host's address and a row of meshNodes", async () => {
		const { server } = there();
		const host = await newHost();
		const { data } = await graphql(server, enrollDocument, { input: inputFor(host) });
		await heartbeat(server, data.enroll, { mesh: { state: "Running", addresses: ["100.64.7.7", "fd7a::7"], nodeName: host.name } });
		await until("the host has its mesh address", async () => {
			const query = "query ($id: ID!) { host(id: $id) { meshAddress } }";
			return (await asAdmin(server, query, { id: host.id })).host.meshAddress === "100.64.7.7";
		});
		const ofHost = async (id: string) =>
			(await asAdmin(server, "query ($id: ID) { meshNodes(hostId: $id) { totalCount nodes { host { id } } } }", { id })).meshNodes;
		expect(await ofHost(host.id)).toEqual({ totalCount: 1, nodes: [{ host: { id: host.id } }] });
		expect(await ofHost((await newHost()).id)).toEqual({ totalCount: 0, nodes: [] });
		const { meshNodes } = await asAdmin(
			server,
			"{ meshNodes { totalCount nodes { place name reportedAddresses reportedState addressesDiffer host { id } } } }",
			{},
		);
		expect(meshNodes.nodes.filter((node: { host: { id: string } | null }) => node.host?.id === host.id)).toEqual([
			{
				place: "REPORTED_ONLY",
				name: host.name,
				reportedAddresses: ["100.64.7.7", "fd7a::7"],
				reportedState: "Running",
				addressesDiffer: false,
				host: { id: host.id },
			},
		]);
		const wrong = await heartbeat(server, data.enroll, { mesh: { state: "Running", addresses: ["mesh"] } });
		expect(wrong.errors[0]?.message).toContain('"mesh" is no IP address');
	});

	test("H6: a server that is killed between mint and reply leaves no key that works: another one expires it", async () => {
		const { backend, gate, database, server } = there();
		const before = await usableKeys(backend);
		const doomed = await startMuster({ runtime, databaseUrl: database.url, env: env(gate, backend) });
		const host = await newHost();
		const held = gate.hold();
		const asked = graphql(doomed, enrollDocument, { input: inputFor(host) }).catch(() => "cut off");
		await held.arrived(1);
		// The verdict waits for the token's row; the key is minted by then.
		const lock = await holding(database.db, `select id from keys where host_id = '${host.id}' for update`);
		held.release();
		await lockWaiters(database.db, 1);
		expect(await usableKeys(backend)).toBe(before + 1);
		doomed.kill("SIGKILL");
		expect(await asked).toBe("cut off");
		await doomed.stop();
		await until("its connection is gone", async () => {
			const rows = await database.db
				.sql`select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
			return rows[0]?.["waiting"] === 0 || (await cancelWaiters(database));
		});
		await lock.release();
		expect(await rowCount(database.db, "keys", `host_id = '${host.id}' and consumed_at is null`)).toBe(1);
		// What takes a minute otherwise.
		await database.db.sql`update mesh_keys set next_attempt_at = now() where state = 'minted'`;
		await until("the key is expired", async () => (await usableKeys(backend)) === before);
		expect((await graphql(server, enrollDocument, { input: inputFor(host) })).data.enroll.__typename).toBe("Enrolled");
	});

	test("a mesh that is down is told by /health/ready and takes no server out of service: only host tokens need it", async () => {
		const { gate, server } = there();
		const ready = async () => {
			const reply = await fetch(`${server.url}/health/ready`);
			return {
				code: reply.status,
				...((await reply.json()) as { status: string; checks: { name: string; ok: boolean; reason?: string }[] }),
			};
		};
		await until("the mesh is well", async () => (await ready()).status === "ready");
		await gate.shut();
		const down = await until("the mesh is told as down", async () => {
			const seen = await ready();
			return seen.status === "degraded" && seen;
		});
		expect(down.code).toBe(200);
		expect(down.checks.find(({ name }) => name === "mesh")).toMatchObject({ ok: false, reason: expect.stringContaining("Headscale") });
		const nodes = await graphql(server, "{ meshNodes { totalCount } }", {}, { authorization: `Bearer ${server.adminToken}` });
		expect(nodes.errors[0]?.extensions?.["code"]).toBe("SERVICE_UNAVAILABLE");
		const mesh = async () => (await asAdmin(server, "{ mesh { provider controlUrl answers reason } }", {})).mesh;
		const its = { provider: "headscale", controlUrl: "https://mesh.test" };
		expect(await mesh()).toEqual({ ...its, answers: false, reason: expect.stringContaining("Headscale") });
		const open = "{ alerts(open: true) { nodes { kind } } }";
		await until("an alert is raised", async () => {
			const { alerts } = await asAdmin(server, open, {});
			return alerts.nodes.some((alert: { kind: string }) => alert.kind === "MESH_DOWN");
		});
		await gate.open();
		await until("it is well again", async () => (await ready()).status === "ready");
		expect(await mesh()).toEqual({ ...its, answers: true, reason: null });
	});
});

/** PostgreSQL notices a client that is gone only when it writes to it: those that wait are ended here. */
async function cancelWaiters(database: TestDatabase): Promise<false> {
	await database.db
		.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
	return false;
}
