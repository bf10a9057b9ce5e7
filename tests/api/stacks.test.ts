import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { reseal } from "../../src/keys/reseal.ts";
import { masterKeyId, openVault, sealedUnder } from "../../src/keys/vault.ts";
import { systemRandom } from "../../src/lib/random.ts";
import { Secret } from "../../src/lib/secret.ts";
import { asAdmin } from "../support/muster.ts";
import { type ScriptedWorker, scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import { askAs, auditOf, newHost } from "./commands-support.ts";
import { change, compose, environment, refused, secret, stackOf } from "./stacks-support.ts";
import { type Bench, onEachRuntime } from "./support.ts";
import { tokenFor } from "./tenant-walk-owner.ts";

// For hangs only.
setDefaultTimeout(60_000);

onEachRuntime("stacks", (bench: Bench) => {
	const name = "shop";
	const deploy = (hostId: string, more: object = {}) =>
		change(bench.server, "deployStack", { hostId, name, compose, environment, ...more });
	/** Has a command end as the test says, in the order of the host. */
	async function end(worker: ScriptedWorker, id: string, state: "SUCCEEDED" | "FAILED"): Promise<Record<string, unknown>> {
		const { params } = await worker.told("ORDER", id);
		await worker.report(
			id,
			state,
			state === "FAILED" ? { error: { code: "docker_error", message: "the engine says no" } } : { result: {} },
		);
		return params as Record<string, unknown>;
	}
	const contentOf = (params: Record<string, unknown>) =>
		(params["stack"] as { content: { services: { name: string; replicas: number; pull: string; environment: object }[] } }).content;
	/** What a worker reports of the containers of a stack's services. */
	const reported = (hostId: string, tenantId: string, services: readonly string[]) =>
		Promise.all(
			services.map(
				(service, index) => bench.database.db.sql`
				insert into containers (tenant_id, host_id, id, name, image, state, status, created_at, labels, ports)
				values (${tenantId}, ${hostId}, ${`${service}${index}`}, ${service}, 'app', 'running', 'Up 2 minutes', now(),
					${bench.database.db.sql.json({ "com.docker.compose.project": name, "com.docker.compose.service": service })}, '{}')`,
			),
		);

	test("a stack is deployed, scaled, redeployed and removed by one command each, in the order asked (H12)", async () => {
		const host = await newHost(bench, "FUSED");
		const worker = await scriptedWorker(bench.server, host);
		const first = await deploy(host.hostId);
		expect(first.stack).toMatchObject({ name, revision: 1, state: "CHANGING", variables: ["TOKEN"], compose, host: { id: host.hostId } });
		expect(first.command).toMatchObject({
			kind: "stack.deploy",
			state: "QUEUED",
			params: { project: name, stack: { content: "[secret]" } },
		});
		const scaled = await change(bench.server, "scaleStack", { hostId: host.hostId, name, service: "web", replicas: 3 });
		const again = await change(bench.server, "redeployStack", { hostId: host.hostId, name, pull: true });

		const sent = contentOf(await end(worker, first.command.id, "SUCCEEDED"));
		expect(sent.services.map((it) => [it.name, it.replicas])).toEqual([
			["web", 1],
			["db", 1],
		]);
		expect(sent.services[0]?.environment).toEqual({ TOKEN: secret });
		expect((await stackOf(bench.server, host.hostId, name)).state).toBe("CHANGING");
		expect(await end(worker, scaled.command.id, "SUCCEEDED")).toMatchObject({ service: "web", replicas: 3 });
		const redeployed = contentOf(await end(worker, again.command.id, "SUCCEEDED"));
		expect(redeployed.services.map((it) => [it.name, it.replicas, it.pull])).toEqual([
			["web", 3, "always"],
			["db", 1, "always"],
		]);
		expect(await stackOf(bench.server, host.hostId, name)).toMatchObject({ id: first.stack.id, revision: 2, state: "STOPPED" });

		const removed = await change(bench.server, "removeStack", { hostId: host.hostId, name, volumes: true });
		expect(await end(worker, removed.command.id, "SUCCEEDED")).toEqual({ project: name, volumes: true });
		expect(await stackOf(bench.server, host.hostId, name)).toBeNull();
		expect((await auditOf(bench, first.stack.id)).map((line) => JSON.parse(line).action)).toEqual([
			"stack.deployed",
			"stack.scaled",
			"stack.redeployed",
			"stack.removal_requested",
		]);
		await worker.close();
	});

	test("a stack's state is that of its last command, then of its containers (H12)", async () => {
		const host = await newHost(bench, "FUSED");
		const worker = await scriptedWorker(bench.server, host);
		const failed = await deploy(host.hostId);
		await end(worker, failed.command.id, "FAILED");
		expect(await stackOf(bench.server, host.hostId, name)).toMatchObject({ state: "FAILED", error: "the engine says no" });

		const [{ tenantId } = { tenantId: "" }] = await bench.database.db.sql<
			{ tenantId: string }[]
		>`select tenant_id from hosts where id = ${host.hostId}`;
		await reported(host.hostId, tenantId, ["web"]);
		await end(worker, (await deploy(host.hostId)).command.id, "SUCCEEDED");
		expect(await stackOf(bench.server, host.hostId, name)).toMatchObject({
			state: "PARTIAL",
			error: null,
			services: [
				{ name: "web", running: 1 },
				{ name: "db", running: 0 },
			],
		});
		await reported(host.hostId, tenantId, ["db"]);
		expect((await stackOf(bench.server, host.hostId, name)).state).toBe("RUNNING");
		const { host: listed } = await asAdmin(bench.server, "query ($id: ID) { host(id: $id) { stacks { name state } } }", {
			id: host.hostId,
		});
		expect(listed.stacks).toEqual([{ name, state: "RUNNING" }]);
		await worker.close();
	});

	test("a stack that is deployed again while its removal waits stays when that is done; one whose removal fails stays too (H12)", async () => {
		const host = await newHost(bench, "FUSED");
		const worker = await scriptedWorker(bench.server, host);
		await end(worker, (await deploy(host.hostId)).command.id, "SUCCEEDED");
		const removed = await change(bench.server, "removeStack", { hostId: host.hostId, name });
		const again = await deploy(host.hostId);
		await end(worker, removed.command.id, "SUCCEEDED");
		await end(worker, again.command.id, "SUCCEEDED");
		expect(await stackOf(bench.server, host.hostId, name)).toMatchObject({ id: again.stack.id, revision: 2 });
		await end(worker, (await change(bench.server, "removeStack", { hostId: host.hostId, name })).command.id, "FAILED");
		expect((await stackOf(bench.server, host.hostId, name)).state).toBe("FAILED");
		await worker.close();
	});

	test("a DEGRADED host's stack changes wait, and are done in order on its return (H13)", async () => {
		const host = await newHost(bench, "FUSED");
		await bench.database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
		const first = await deploy(host.hostId);
		const second = await change(bench.server, "scaleStack", { hostId: host.hostId, name, service: "web", replicas: 2 });
		const worker = await scriptedWorker(bench.server, host);
		await end(worker, first.command.id, "SUCCEEDED");
		await end(worker, second.command.id, "SUCCEEDED");
		const orders = worker.frames.filter(({ type }) => type === "ORDER").map(({ commandId }) => commandId);
		expect([...new Set(orders)]).toEqual([first.command.id, second.command.id]);
		await worker.close();
	});

	describe("what cannot be is refused with its remedy, and nothing is queued (H12)", () => {
		test("a host that is not FUSED", async () => {
			const host = await newHost(bench);
			const said = await refused(bench.server, "deployStack", { hostId: host.hostId, name, compose, environment });
			expect(said).toContain("CONFLICT");
			expect(said).toContain("and this needs it FUSED: fuse it first");
			expect(await stackOf(bench.server, host.hostId, name)).toBeNull();
		});

		test("a file with problems: all of them, and no secret", async () => {
			const host = await newHost(bench, "FUSED");
			const file = compose.replace("image: db:1", "image: db:1\n    build: .\n    restart: $TOKEN");
			const said = await refused(bench.server, "deployStack", { hostId: host.hostId, name, compose: file, environment });
			expect(said).toContain("BAD_USER_INPUT");
			expect(said).toContain("services.db.build is not supported");
			expect(said).toContain("services.db.restart is");
			expect(said).not.toContain(secret);
		});

		test.each([
			["a name that is none", { name: "Shop" }, "must be lower-case"],
			["a variable twice", { environment: [...environment, ...environment] }, "names a variable twice"],
			["a variable with a bad name", { environment: [{ key: "A-B", value: "x" }] }, "must be letters, digits and _"],
			["a host that is not there", { hostId: "host_none" }, "NOT_FOUND"],
		])("%s", async (_, more, message) => {
			const host = await newHost(bench, "FUSED");
			expect(await refused(bench.server, "deployStack", { hostId: host.hostId, name, compose, environment, ...more })).toContain(message);
		});

		test("a stack, or a service of it, that is not there; several containers for one port", async () => {
			const host = await newHost(bench, "FUSED");
			const { hostId } = host;
			for (const mutation of ["redeployStack", "removeStack"] as const)
				expect(await refused(bench.server, mutation, { hostId, name })).toContain("NOT_FOUND");
			await deploy(hostId, { compose: compose.replace("image: db:1", 'image: db:1\n    ports: ["1:1"]') });
			expect(await refused(bench.server, "scaleStack", { hostId, name, service: "cache", replicas: 1 })).toContain("give one of web, db");
			expect(await refused(bench.server, "scaleStack", { hostId, name, service: "db", replicas: 2 })).toContain(
				"services.db.ports cannot publish 1",
			);
		});
	});

	test("no secret of a stack is shown to viewers, nor stands in audit, events or the database in clear (S7)", async () => {
		const host = await newHost(bench, "FUSED");
		const { stack } = await deploy(host.hostId);
		const viewer = await tokenFor("default", "viewer");
		const query =
			"query ($id: ID!) { node(id: $id) { ... on Stack { name compose variables services { name image } lastCommand { params result } } } }";
		const reply = await askAs(bench.server, viewer, query, { id: stack.id });
		expect(reply.data.node).toMatchObject({ name, compose: null, variables: ["TOKEN"] });
		expect(JSON.stringify(reply)).not.toContain(secret);

		const { db } = bench.database;
		const tables =
			await db.sql`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`;
		for (const { name: table } of tables) {
			const found = await db.sql.unsafe(`select 1 from ${String(table)} it where to_jsonb(it)::text like '%${secret}%' limit 1`);
			expect([table, found.length]).toEqual([table, 0]);
		}
		await until(
			"it is sealed",
			async () => (await db.sql`select 1 from stacks where id = ${stack.id} and desired_sealed like 'v1.%'`).length === 1,
		);
	});

	test("a rotation of the master key seals stacks anew, and they still open (A2)", async () => {
		const host = await newHost(bench, "FUSED");
		const { stack } = await deploy(host.hostId);
		const { db } = bench.database;
		const [old, next] = [5, 6].map((byte) => new Secret(Buffer.alloc(32, byte).toString("base64"))) as [Secret, Secret];
		const under = async () =>
			(await db.sql`select desired_sealed as it from stacks where id = ${stack.id}`).map(({ it }) => sealedUnder(String(it)));
		await reseal({ db }, openVault(next, [old], systemRandom));
		expect(await under()).toEqual([masterKeyId(next)]);
		await reseal({ db }, openVault(old, [next], systemRandom));
		expect(await under()).toEqual([masterKeyId(old)]);
		const reply = await asAdmin(bench.server, "query ($id: ID!) { stack(id: $id) { compose } }", { id: stack.id });
		expect(reply.stack.compose).toBe(compose);
	});
});
