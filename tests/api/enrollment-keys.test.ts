import { describe, expect, test } from "bun:test";
import { parseToken, sha256 } from "../../src/protocol/token.ts";
import { testDatabase } from "../support/db.ts";
import { failureOf } from "../support/failure.ts";
import { asAdmin, type Muster, startMuster } from "../support/muster.ts";
import { hex, holding, lockWaiters, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { type Bench, enroll, heartbeat, newSite, onEachRuntime } from "./support.ts";

// Housekeeping comes round every half second.
const oftenSwept = { MUSTER_HEARTBEAT_SECONDS: "1", MUSTER_STALE_SECONDS: "2" };
const fields =
	"id name hint maxUses uses createdAt expiresAt revokedAt lastUsedAt allowedCidrs site { code } fleet { id } labels { key value } lastWorker { id }";
const createMutation = `mutation ($input: CreateEnrollmentKeyInput!) { createEnrollmentKey(input: $input) { secret key { ${fields} } } }`;

/** A new enrollment key with a name of its own, by the API. */
async function newKey(server: Muster, input: object) {
	const made = await asAdmin(server, createMutation, { input: { name: `key ${hex(5)}`, ...input } });
	const { secret, key } = made.createEnrollmentKey;
	return { secret: String(secret), key, id: String(key.id) };
}

/** What the API shows of a key now. */
async function keyNow(server: Muster, id: string) {
	return (await asAdmin(server, `query ($id: ID!) { node(id: $id) { ... on EnrollmentKey { ${fields} } } }`, { id })).node;
}

async function newFleet(server: Muster, siteCode: string): Promise<string> {
	const mutation = "mutation ($input: CreateFleetInput!) { createFleet(input: $input) { fleet { id } } }";
	return String((await asAdmin(server, mutation, { input: { siteCode, name: `fleet ${hex(4)}` } })).createFleet.fleet.id);
}

async function revoke(server: Muster, id: string) {
	return (await asAdmin(server, `mutation ($id: ID!) { revokeEnrollmentKey(id: $id) { key { ${fields} } } }`, { id })).revokeEnrollmentKey
		.key;
}

/** A claim by an enrollment key; a machine and enrollment of its own. */
const claim = (enrollmentKey: string, facts: object = {}) => ({
	enrollmentId: hex(16),
	credential: { enrollmentKey },
	worker: { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}`, ...facts },
});

/** A worker's socket: "in" once it was acknowledged, else the code it was closed with. */
function connect(server: Muster, payload: object): Promise<"in" | number> {
	const socket = new WebSocket(`${server.url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
	return new Promise<"in" | number>((resolve) => {
		socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "connection_init", payload })));
		socket.addEventListener("message", ({ data }) => (String(data).includes("connection_ack") ? resolve("in") : undefined));
		socket.addEventListener("close", ({ code }) => resolve(code));
	}).finally(() => socket.close());
}

/** Brings a key's end near: of its ten hours half an hour is left. */
async function bringEndNear({ db }: Pick<Bench["database"], "db">, id: string): Promise<void> {
	await db.sql`update keys set created_at = now() - interval '9.5 hours', expires_at = now() + interval '30 minutes' where id = ${id}`;
}

onEachRuntime("enrollment keys", (bench) => {
	describe("createEnrollmentKey (B1)", () => {
		test("a key lets 100 workers in within 24 hours, from anywhere, unless told otherwise", async () => {
			const { siteCode } = await newSite(bench.server);
			const { key } = await newKey(bench.server, { siteCode });
			expect(key).toMatchObject({
				maxUses: 100,
				uses: 0,
				allowedCidrs: [],
				labels: [],
				fleet: null,
				revokedAt: null,
				site: { code: siteCode },
			});
			expect(Date.parse(key.expiresAt) - Date.parse(key.createdAt)).toBe(24 * 3_600_000);
		});

		test("it has the uses, life, ranges, labels and fleet it was given", async () => {
			const { siteCode } = await newSite(bench.server);
			const fleetId = await newFleet(bench.server, siteCode);
			const given = { maxUses: 3, allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"], labels: [{ key: "row", value: "7" }] };
			const { key } = await newKey(bench.server, { siteCode, fleetId, expiresInHours: 0.5, ...given });
			expect(key).toMatchObject({ ...given, fleet: { id: fleetId } });
			expect(Date.parse(key.expiresAt) - Date.parse(key.createdAt)).toBe(1_800_000);
		});

		test("a fleet of another site is refused, naming fleet and site; one that does not exist is NOT_FOUND", async () => {
			const [here, there] = [await newSite(bench.server), await newSite(bench.server)];
			const fleetId = await newFleet(bench.server, there.siteCode);
			const misplaced = String(await failureOf(newKey(bench.server, { siteCode: here.siteCode, fleetId })));
			for (const part of ["BAD_USER_INPUT", fleetId, here.siteCode]) expect(misplaced).toContain(part);
			const missing = String(await failureOf(newKey(bench.server, { siteCode: here.siteCode, fleetId: "flt_none" })));
			for (const part of ["NOT_FOUND", "flt_none"]) expect(missing).toContain(part);
		});

		test.each([
			["a range that is none", { allowedCidrs: ["10.0.0.0/8", "10.0.0.0/33"] }, "BAD_USER_INPUT", "10.0.0.0/33"],
			["no uses at all", { maxUses: 0 }, "BAD_USER_INPUT", "maxUses is 0"],
			["a negative number of uses", { maxUses: -5 }, "BAD_USER_INPUT", "maxUses is -5"],
			["no life at all", { expiresInHours: 0 }, "BAD_USER_INPUT", "expiresInHours is 0"],
			["an unknown site", { siteCode: "no-such-site" }, "NOT_FOUND", "no-such-site"],
		])("%s is refused, naming the value; no key is made", async (_, wrong, code, value) => {
			const { siteCode } = await newSite(bench.server);
			const name = `key ${hex(5)}`;
			const refused = String(await failureOf(newKey(bench.server, { siteCode, name, ...wrong })));
			for (const part of [code, value]) expect(refused).toContain(part);
			expect(await rowCount(bench.database.db, "keys", `name = '${name}'`)).toBe(0);
		});
	});

	test("the secret is shown once; the database holds its SHA-256, selector and hint, and no column of any table the secret (B2)", async () => {
		const { db } = bench.database;
		const { secret, id, key } = await newKey(bench.server, { siteCode: (await newSite(bench.server)).siteCode });
		await enroll(bench.server, claim(secret));
		const token = parseToken(secret);
		expect(token?.kind).toBe("enroll");
		const part = token?.secret ?? "";
		const [row] = await db.sql`select verifier, selector, hint from keys where id = ${id}`;
		const digest = sha256(part).toString("hex");
		expect({ ...row }).toEqual({ verifier: digest, selector: token?.selector, hint: digest.slice(0, 4).toUpperCase() });
		expect(key.hint).toBe(row?.["hint"]);
		expect(JSON.stringify([await keyNow(bench.server, id), await revoke(bench.server, id)])).not.toContain(part);
		const tables = await db.sql`select table_name as name from information_schema.tables where table_schema = 'public'`;
		const rowsWith = (name: string, text: string) => rowCount(db, `${name} it`, `it::text like '%${text}%'`);
		expect(await rowsWith("keys", digest)).toBe(1);
		// Text as it is; bytea shows as hex: of the secret's bytes that is the secret again, of its text that text's hex.
		const clear = [part, Buffer.from(part).toString("hex")];
		for (const { name } of tables) {
			for (const text of clear) expect([name, await rowsWith(String(name), text)]).toEqual([name, 0]);
		}
	});

	describe("a worker that enrolls (B4, B6, B8)", () => {
		test("gets the key's site, fleet and labels; its own labels win; with it come host, use, attempt, audit line and events", async () => {
			const { db } = bench.database;
			const { siteCode } = await newSite(bench.server);
			const fleetId = await newFleet(bench.server, siteCode);
			const labels = [
				{ key: "row", value: "7" },
				{ key: "kind", value: "picker" },
			];
			const { secret, id } = await newKey(bench.server, { siteCode, fleetId, labels });
			const reply = await enroll(bench.server, claim(secret, { labels: [{ key: "row", value: "own" }] }));
			expect([reply.status, reply.data.enroll.outcome]).toEqual([200, "NEW"]);
			const { workerId, hostId } = reply.data.enroll;
			const query =
				"query ($id: ID!) { worker(id: $id) { method autoEnrolled state site { code } fleet { id } host { id state } labels { key value } } }";
			const { worker } = await asAdmin(bench.server, query, { id: workerId });
			expect(worker).toMatchObject({ method: "ENROLLMENT_KEY", autoEnrolled: false, state: "ACTIVE", fleet: { id: fleetId } });
			expect(worker).toMatchObject({ site: { code: siteCode }, host: { id: hostId, state: "MONITORING" } });
			expect(worker.labels).toContainEqual({ key: "row", value: "own" });
			expect(worker.labels).toContainEqual({ key: "kind", value: "picker" });
			expect(worker.labels).toHaveLength(2);
			const attempt = `worker_id = '${workerId}' and key_id = '${id}' and accepted and outcome = 'NEW'`;
			expect(await rowCount(db, "attempts", attempt)).toBe(1);
			expect(await rowCount(db, "audit", `action = 'enrollment.admitted' and subject = '${workerId}'`)).toBe(1);
			expect(await rowCount(db, "events", `kind = 'host' and payload::text like '%${workerId}%'`)).toBe(1);
			const named = `kind = 'attempt' and payload ->> 'attemptId' = (select id from attempts where ${attempt})`;
			expect(await rowCount(db, "events", named)).toBe(1);
		});

		test("has a credential of its own, of which only the hash is stored; its heartbeats and its socket show it", async () => {
			const { secret } = await newKey(bench.server, { siteCode: (await newSite(bench.server)).siteCode });
			const { workerId, apiKey } = (await enroll(bench.server, claim(secret))).data.enroll;
			const token = parseToken(apiKey);
			expect(token?.kind).toBe("worker");
			const hash = sha256(token?.secret ?? "").toString("hex");
			expect(await rowCount(bench.database.db, "credentials", `worker_id = '${workerId}' and hash = decode('${hash}', 'hex')`)).toBe(1);
			expect((await heartbeat(bench.server, { workerId, apiKey })).errors).toEqual([]);
			expect(await connect(bench.server, { workerId, apiKey })).toBe("in");
			expect(await connect(bench.server, { workerId, apiKey: secret })).toBe(4403);
			const wrong = await heartbeat(bench.server, { workerId, apiKey: secret });
			expect(wrong.errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
		});

		test("is counted: the key shows its uses, last use and last worker, and workers(keyId:) lists who came in with it", async () => {
			const { siteCode } = await newSite(bench.server);
			const [{ secret, id }, other] = [await newKey(bench.server, { siteCode }), await newKey(bench.server, { siteCode })];
			expect(await keyNow(bench.server, id)).toMatchObject({ uses: 0, lastUsedAt: null, lastWorker: null });
			const ids = [];
			for (let index = 0; index < 2; index++) ids.push((await enroll(bench.server, claim(secret))).data.enroll.workerId);
			await enroll(bench.server, claim(other.secret));
			expect(await keyNow(bench.server, id)).toMatchObject({ uses: 2, lastUsedAt: expect.any(String), lastWorker: { id: ids[1] } });
			const { workers } = await asAdmin(bench.server, "query ($id: ID) { workers(keyId: $id) { totalCount nodes { id } } }", { id });
			expect(workers).toEqual({ totalCount: 2, nodes: [{ id: ids[1] }, { id: ids[0] }] });
			await asAdmin(bench.server, "mutation ($id: ID!) { deleteWorker(id: $id) { deletedId } }", { id: ids[1] });
			expect(await keyNow(bench.server, id)).toMatchObject({ uses: 2, lastWorker: null });
		});
	});

	test("keys are listed newest first, of all sites or of one (B5)", async () => {
		const [here, there] = [await newSite(bench.server), await newSite(bench.server)];
		const first = await newKey(bench.server, { siteCode: here.siteCode });
		const second = await newKey(bench.server, { siteCode: here.siteCode });
		const elsewhere = await newKey(bench.server, { siteCode: there.siteCode });
		const query = "query ($siteCode: String) { enrollmentKeys(siteCode: $siteCode, first: 3) { totalCount nodes { id } } }";
		const all = (await asAdmin(bench.server, query)).enrollmentKeys;
		expect(all.nodes).toEqual([{ id: elsewhere.id }, { id: second.id }, { id: first.id }]);
		const one = (await asAdmin(bench.server, query, { siteCode: here.siteCode })).enrollmentKeys;
		expect(one).toEqual({ totalCount: 2, nodes: [{ id: second.id }, { id: first.id }] });
	});

	test("revoking refuses later claims with revoked, 410, may be repeated, and leaves enrolled workers alone (B5)", async () => {
		const { secret, id } = await newKey(bench.server, { siteCode: (await newSite(bench.server)).siteCode });
		const { workerId, apiKey } = (await enroll(bench.server, claim(secret))).data.enroll;
		const first = await revoke(bench.server, id);
		expect(first.revokedAt).toEqual(expect.any(String));
		expect((await revoke(bench.server, id)).revokedAt).toBe(first.revokedAt);
		expect(await rowCount(bench.database.db, "audit", `action = 'enrollment_key.revoked' and subject = '${id}'`)).toBe(1);
		const reply = await enroll(bench.server, claim(secret));
		expect([reply.status, reply.data.enroll.reason]).toEqual([410, "revoked"]);
		expect((await heartbeat(bench.server, { workerId, apiKey })).errors).toEqual([]);
		expect(await keyNow(bench.server, id)).toMatchObject({ uses: 1, lastWorker: { id: workerId } });
		expect(String(await failureOf(revoke(bench.server, "key_none")))).toContain("NOT_FOUND");
	});

	test("a key with ranges lets in from inside them only, IPv4 and IPv6; others are refused with not_allowed, 403 (B1)", async () => {
		const allowedCidrs = ["192.0.2.0/24", "2001:db8:7::/48", "203.0.113.9"];
		const { secret, id } = await newKey(bench.server, { siteCode: (await newSite(bench.server)).siteCode, allowedCidrs });
		for (const source of ["192.0.2.77", "::ffff:192.0.2.78", "2001:db8:7:1::5", "203.0.113.9"]) {
			expect([source, (await enroll(bench.server, claim(secret), source)).status]).toEqual([source, 200]);
		}
		for (const source of ["192.0.3.77", "2001:db8:8:1::5", "203.0.113.10", "::ffff:198.51.100.1"]) {
			const reply = await enroll(bench.server, claim(secret), source);
			expect([source, reply.status, reply.data.enroll.reason]).toEqual([source, 403, "not_allowed"]);
		}
		expect((await keyNow(bench.server, id)).uses).toBe(4);
	});

	test("the last use raises KEY_EXHAUSTED, naming the key, once however many are refused after it", async () => {
		const { secret, key } = await newKey(bench.server, { siteCode: (await newSite(bench.server)).siteCode, maxUses: 2 });
		const alerts = () => rowCount(bench.database.db, "alerts", `kind = 'KEY_EXHAUSTED' and message like '%${key.name}%'`);
		await enroll(bench.server, claim(secret));
		expect(await alerts()).toBe(0);
		await enroll(bench.server, claim(secret));
		for (let index = 0; index < 2; index++) expect((await enroll(bench.server, claim(secret))).data.enroll.reason).toBe("exhausted");
		expect(await alerts()).toBe(1);
	});
});

onEachRuntime(
	"enrollment keys near their end",
	(bench) => {
		test("KEY_EXPIRING is raised once for a key near its end with uses left; not for one revoked, used up or far from it", async () => {
			const { siteCode } = await newSite(bench.server);
			const alerts = (name: string) => rowCount(bench.database.db, "alerts", `kind = 'KEY_EXPIRING' and message like '%${name}%'`);
			const make = (input: object = {}) => newKey(bench.server, { siteCode, ...input });
			const quiet = [await make(), await make(), await make({ maxUses: 1 })] as const;
			await revoke(bench.server, quiet[1].id);
			await enroll(bench.server, claim(quiet[2].secret));
			for (const { id } of quiet.slice(1)) await bringEndNear(bench.database, id);
			const [first, second] = [await make(), await make()];
			await bringEndNear(bench.database, first.id);
			await until("the alert about the first key", async () => (await alerts(first.key.name)) > 0);
			await bringEndNear(bench.database, second.id);
			// With this the sweep has come round again, past all the others.
			await until("the alert about the second key", async () => (await alerts(second.key.name)) > 0);
			const counts = await Promise.all([first, second, ...quiet].map(({ key }) => alerts(key.name)));
			expect(counts).toEqual([1, 1, 0, 0, 0]);
		});
	},
	oftenSwept,
);

test("two servers on one database that find the same key near its end at the same time raise KEY_EXPIRING once", async () => {
	const database = await testDatabase();
	const servers: Muster[] = [];
	try {
		for (const runtime of ["bun", "deno"] as const)
			servers.push(await startMuster({ runtime, databaseUrl: database.url, env: oftenSwept }));
		const [server] = servers as [Muster, Muster];
		const { id } = await newKey(server, { siteCode: (await newSite(server)).siteCode });
		// Reading is free, writing waits: both have looked and found no alert before either may write one.
		const lock = await holding(database.db, "lock table alerts in exclusive mode");
		await bringEndNear(database, id);
		await lockWaiters(database.db, 2);
		await lock.release();
		await until("an alert", async () => (await rowCount(database.db, "alerts", "kind = 'KEY_EXPIRING'")) > 0);
		// A server ends its sweep before it stops.
		await Promise.all(servers.map((one) => one.stop()));
		expect(await rowCount(database.db, "alerts", "kind = 'KEY_EXPIRING'")).toBe(1);
	} finally {
		await Promise.all(servers.map((one) => one.stop()));
		await database.drop();
	}
});
