import { describe, expect, test } from "bun:test";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { mintToken } from "../../src/protocol/token.ts";
import { failureOf } from "../support/failure.ts";
import { asAdmin, type GraphQLReply, type Muster, startMuster } from "../support/muster.ts";
import { enrollInput, hex, holding, lockWaiters, rowCount, sharedSecret } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { actOn, type Bench, enroll, heartbeat, newSite, newSource, onEachRuntime, rotate } from "./support.ts";

type Admin = Pick<Muster, "url" | "adminToken">;
type Verdict = "ADOPT" | "SPLIT" | "BAN";
const verdict = ({ status, data }: GraphQLReply) => [status, data.enroll.reason ?? data.enroll.outcome ?? data.enroll.pending];

/** A machine whose worker is online, and a claim of the same machine uid from another hostname, which is held. */
async function collide({ server, database }: Bench) {
	const site = await newSite(server);
	const machineUid = `uid-${hex(12)}`;
	const first = enrollInput({ ...site, machineUid, hostname: "first-host", name: "first" });
	const incumbent: { workerId: string; apiKey: string } = (await enroll(server, first)).data.enroll;
	await heartbeat(server, incumbent);
	const heard = `worker_id = '${incumbent.workerId}'`;
	await until("the heartbeat is written", async () => (await rowCount(database.db, "heartbeats", heard)) === 1);
	const input = enrollInput({ ...site, machineUid, hostname: "second-host", name: "second" });
	const source = newSource();
	const reply = await enroll(server, input, source);
	expect(verdict(reply)).toEqual([202, "COLLISION"]);
	/** The same machine once more, with an enrollment of its own. */
	const again = (hostname: string) => enroll(server, enrollInput({ ...site, machineUid, hostname }));
	return { site, machineUid, incumbent, input, source, heldId: String(reply.data.enroll.workerId), again };
}

async function resolve(server: Admin, workerId: string, word: Verdict) {
	const mutation = `mutation ($workerId: ID!, $verdict: CollisionVerdict!) {
		resolveCollision(workerId: $workerId, verdict: $verdict) { worker { id state pendingReason } } }`;
	return (await asAdmin(server, mutation, { workerId, verdict: word })).resolveCollision.worker;
}

const beatCode = async (server: Muster, worker: { workerId: string; apiKey: string }) =>
	(await heartbeat(server, worker)).errors[0]?.extensions?.["code"];

/** What the admin is told would happen with a key. */
async function check(admin: Admin, key: string, more: object = {}) {
	const query = `query ($key: String!, $sourceAddress: String, $name: String, $machineUid: String, $hostname: String) {
		checkEnrollmentKey(key: $key, sourceAddress: $sourceAddress, name: $name, machineUid: $machineUid, hostname: $hostname) {
			wouldAdmit outcome pendingReason reason message method usesLeft expiresAt site { code } host { id } enrollmentKey { id } } }`;
	return (await asAdmin(admin, query, { key, ...more })).checkEnrollmentKey;
}

async function newKey(server: Muster, siteCode: string, more: object = {}): Promise<{ secret: string; id: string; expiresAt: string }> {
	const mutation = "mutation ($input: CreateEnrollmentKeyInput!) { createEnrollmentKey(input: $input) { secret key { id expiresAt } } }";
	const { secret, key } = (await asAdmin(server, mutation, { input: { siteCode, name: "a key", ...more } })).createEnrollmentKey;
	return { secret, ...key };
}

async function newHost(server: Muster) {
	const mutation = "mutation ($input: CreateHostInput!) { createHost(input: $input) { secret host { id name tokenExpiresAt } } }";
	return (await asAdmin(server, mutation, { input: { name: `robot ${hex(5)}` } })).createHost;
}

/** A tenant of its own with auto-enrollment on. */
async function openTenant({ url }: Muster) {
	const [slug, secret] = [`t-${hex(6)}`, `secret ${hex(16)}`];
	// The secret that tests/support/muster.ts gives to every server.
	const jwtSecret = new Secret("a secret of the tests, forty characters.");
	const adminToken = await mintAdminToken(jwtSecret, systemClock, { tenant: slug, role: "admin", subject: "a", hours: 1 });
	const mutation =
		"mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { enabled } } }";
	const configure = (input: object) => asAdmin({ url, adminToken }, mutation, { input });
	await configure({ enabled: true, enrollmentSecret: secret });
	return { url, adminToken, secret, configure };
}

const enrollByKey = (server: Muster, enrollmentKey: string) => {
	const worker = { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}` };
	return enroll(server, { enrollmentId: hex(16), credential: { enrollmentKey }, worker });
};

/** A digest of every table but the heartbeats, which are written whenever there are some. */
async function digests({ db }: Bench["database"]): Promise<readonly unknown[]> {
	const tables = await db.sql`
		select table_name as name from information_schema.tables where table_schema = 'public' and table_name <> 'heartbeats'`;
	const digest = (name: string) => `select '${name}' as name, md5(string_agg(it::text, '|' order by it::text)) as digest from ${name} it`;
	expect(tables.length).toBeGreaterThan(15);
	return db.sql.unsafe(`${tables.map(({ name }) => digest(String(name))).join(" union all ")} order by name`);
}

onEachRuntime(
	"collisions and checks",
	(bench, runtime) => {
		describe("a collision (S5)", () => {
			test("shows the evidence of both claimants, and raises one COLLISION alert however often the held claim asks", async () => {
				const { incumbent, input, source, heldId } = await collide(bench);
				for (let index = 0; index < 2; index++) expect(verdict(await enroll(bench.server, input))).toEqual([202, "COLLISION"]);
				const query = `query ($id: ID!) { worker(id: $id) { state pendingReason host { state } collision {
					incumbent { worker { id } name hostname lastHeartbeatAt } claimant { worker { id } name hostname sourceAddress claimedAt } } } }`;
				const { collision, ...held } = (await asAdmin(bench.server, query, { id: heldId })).worker;
				expect(held).toEqual({ state: "PENDING", pendingReason: "COLLISION", host: { state: "PENDING" } });
				expect(collision).toEqual({
					incumbent: { worker: { id: incumbent.workerId }, name: "first", hostname: "first-host", lastHeartbeatAt: expect.any(String) },
					claimant: { worker: null, name: "second", hostname: "second-host", sourceAddress: source, claimedAt: expect.any(String) },
				});
				expect((await asAdmin(bench.server, query, { id: incumbent.workerId })).worker.collision).toBeNull();
				expect(await rowCount(bench.database.db, "alerts", `kind = 'COLLISION' and worker_id = '${heldId}'`)).toBe(1);
			});

			test("ADOPT: the waiting claim is answered as the incumbent, REUSED; the old credential works until the new one is used", async () => {
				const { machineUid, incumbent, input, heldId, again } = await collide(bench);
				expect(await resolve(bench.server, heldId, "ADOPT")).toMatchObject({ id: incumbent.workerId, state: "ACTIVE" });
				// Also when it lost its enrollment, that is no collision any more.
				expect((await again("second-host")).data.enroll).toMatchObject({ outcome: "REUSED", workerId: incumbent.workerId });
				const reply = await enroll(bench.server, input);
				expect(verdict(reply)).toEqual([200, "REUSED"]);
				const adopted = reply.data.enroll;
				expect(adopted.workerId).toBe(incumbent.workerId);
				expect(await rowCount(bench.database.db, "workers", `machine_uid = '${machineUid}' or contested_uid = '${machineUid}'`)).toBe(1);
				expect(await rowCount(bench.database.db, "workers", `id = '${heldId}'`)).toBe(0);
				expect(await beatCode(bench.server, incumbent)).toBeUndefined();
				expect(await beatCode(bench.server, adopted)).toBeUndefined();
				expect(await beatCode(bench.server, incumbent)).toBe("UNAUTHENTICATED");
			});

			test("SPLIT: the waiting claim is answered as a worker of its own; both live, and each finds its own again", async () => {
				const { incumbent, input, heldId, again } = await collide(bench);
				expect(await resolve(bench.server, heldId, "SPLIT")).toEqual({ id: heldId, state: "ACTIVE", pendingReason: null });
				const reply = await enroll(bench.server, input);
				expect(verdict(reply)).toEqual([200, "NEW"]);
				expect(reply.data.enroll.workerId).toBe(heldId);
				for (const worker of [incumbent, reply.data.enroll]) {
					expect(await beatCode(bench.server, worker)).toBeUndefined();
					expect(await rowCount(bench.database.db, "hosts", `worker_id = '${worker.workerId}' and state = 'MONITORING'`)).toBe(1);
				}
				expect((await again("second-host")).data.enroll).toMatchObject({ outcome: "REUSED", workerId: heldId });
				expect((await again("first-host")).data.enroll).toMatchObject({ outcome: "REUSED", workerId: incumbent.workerId });
			});

			test("BAN: the claimant is refused with not_allowed, 403, now and after the incumbent was deleted; the incumbent's machine is not", async () => {
				const { incumbent, input, heldId, again } = await collide(bench);
				expect(await resolve(bench.server, heldId, "BAN")).toMatchObject({ id: heldId, state: "REVOKED" });
				expect(verdict(await enroll(bench.server, input))).toEqual([403, "not_allowed"]);
				expect(verdict(await again("second-host"))).toEqual([403, "not_allowed"]);
				expect(await beatCode(bench.server, incumbent)).toBeUndefined();
				await asAdmin(bench.server, "mutation ($id: ID!) { deleteWorker(id: $id) { deletedId } }", { id: incumbent.workerId });
				expect(verdict(await again("second-host"))).toEqual([403, "not_allowed"]);
				expect(verdict(await again("first-host"))).toEqual([200, "NEW"]);
			});

			test("is settled once: again, or of a worker that is not held, it is CONFLICT; of none at all NOT_FOUND", async () => {
				const { incumbent, heldId } = await collide(bench);
				await resolve(bench.server, heldId, "SPLIT");
				for (const id of [heldId, incumbent.workerId])
					expect(String(await failureOf(resolve(bench.server, id, "BAN")))).toMatch(new RegExp(`${id}.*CONFLICT`));
				expect(String(await failureOf(resolve(bench.server, "wrk_none", "BAN")))).toContain("NOT_FOUND");
				expect(await rowCount(bench.database.db, "audit", `action = 'collision.resolved' and subject = '${heldId}'`)).toBe(1);
			});

			test.each([
				["SPLIT", "BAN"],
				["BAN", "ADOPT"],
				["ADOPT", "BAN"],
				["ADOPT", "ADOPT"],
			] as const)("two operators at once, %s before %s: the first one's word stands, the other gets CONFLICT", async (word, late) => {
				const { heldId } = await collide(bench);
				const { db } = bench.database;
				const lock = await holding(db, `select id from workers where id = '${heldId}' for update`);
				const won = resolve(bench.server, heldId, word);
				await lockWaiters(db, 1);
				const lost = failureOf(resolve(bench.server, heldId, late));
				await lockWaiters(db, 2);
				await lock.release();
				await won;
				expect(String(await lost)).toContain("CONFLICT");
				const lines = `action = 'collision.resolved' and subject = '${heldId}'`;
				expect(await rowCount(db, "audit", lines)).toBe(1);
				expect(await rowCount(db, "audit", `${lines} and detail->>'verdict' = '${word}'`)).toBe(1);
			});
		});

		test.each([
			["approveWorker", "ACTIVE", 200, "NEW", "worker.approved"],
			["rejectWorker", "REVOKED", 403, "not_allowed", "worker.rejected"],
		] as const)("%s settles a worker that waits for approval, once: it is %s (S8)", async (act, state, status, answer, action) => {
			const input = enrollInput(await newSite(bench.server, { enrollmentPolicy: "REQUIRE_APPROVAL" }));
			const held = await enroll(bench.server, input);
			expect(verdict(held)).toEqual([202, "APPROVAL_REQUIRED"]);
			const { workerId } = held.data.enroll;
			expect((await actOn(bench.server, act, workerId))[act].worker.state).toBe(state);
			expect(verdict(await enroll(bench.server, input))).toEqual([status, answer]);
			for (const late of ["approveWorker", "rejectWorker"] as const) {
				expect(String(await failureOf(actOn(bench.server, late, workerId)))).toContain("CONFLICT");
			}
			expect(await rowCount(bench.database.db, "audit", `action = '${action}' and subject = '${workerId}'`)).toBe(1);
		});

		describe("checkEnrollmentKey says what would happen (A1, A2, B3, H3, S5, S8)", () => {
			const yes = { wouldAdmit: true, outcome: "NEW", pendingReason: null, reason: null };
			const no = (reason: string) => ({ wouldAdmit: false, outcome: null, pendingReason: null, reason });

			test("with a key of each kind that lets in, and to whom it belongs", async () => {
				const { siteCode, key } = await newSite(bench.server);
				expect(await check(bench.server, key)).toMatchObject({ ...yes, method: "SITE_KEY", site: { code: siteCode }, usesLeft: null });
				const { id, secret, expiresAt } = await newKey(bench.server, siteCode, { maxUses: 3 });
				await enrollByKey(bench.server, secret);
				const expected = { ...yes, method: "ENROLLMENT_KEY", usesLeft: 2, expiresAt, enrollmentKey: { id }, site: { code: siteCode } };
				expect(await check(bench.server, secret)).toMatchObject(expected);
				const { host, secret: token } = await newHost(bench.server);
				const ofHost = { method: "HOST_TOKEN", usesLeft: 1, expiresAt: host.tokenExpiresAt, host: { id: host.id } };
				expect(await check(bench.server, token)).toMatchObject({ ...yes, ...ofHost });
				const tenant = await openTenant(bench.server);
				expect(await check(tenant, tenant.secret)).toMatchObject({ ...yes, method: "AUTO_ENROLLMENT", usesLeft: null });
			});

			test("with one that does not, and why: expired, revoked, exhausted, from elsewhere, under another name, switched off, unknown", async () => {
				const site = await newSite(bench.server);
				const [expired, revoked, once, inside] = await Promise.all(
					[{}, {}, { maxUses: 1 }, { allowedCidrs: ["192.0.2.0/24"] }].map((more) => newKey(bench.server, site.siteCode, more)),
				);
				await bench.database.db.sql`update keys set expires_at = now() - interval '1 second' where id = ${expired?.id ?? ""}`;
				await asAdmin(bench.server, "mutation ($id: ID!) { revokeEnrollmentKey(id: $id) { key { id } } }", { id: revoked?.id });
				await enrollByKey(bench.server, once?.secret ?? "");
				const { host, secret: token } = await newHost(bench.server);
				const unknown = mintToken("enroll", Buffer.from(hex(38), "hex")).text;
				await rotate(bench.server, site.siteCode);
				const rows: readonly (readonly [string | undefined, object, string, string])[] = [
					[expired?.secret, {}, "expired", "expired"],
					[revoked?.secret, {}, "revoked", "revoked"],
					[once?.secret, {}, "exhausted", "1 use"],
					[site.key, {}, "revoked", "rotated"],
					[inside?.secret, { sourceAddress: "198.51.100.7" }, "not_allowed", "198.51.100.7"],
					[token, { name: "another" }, "not_allowed", `"${host.name}", not "another"`],
					[unknown, {}, "invalid_token", "not valid"],
					[`${token.slice(0, -1)}x`, {}, "invalid_token", "not valid"],
					[mintToken("worker", Buffer.from(hex(38), "hex")).text, {}, "invalid_token", "not enroll"],
				];
				for (const [key, more, reason, part] of rows) {
					const told = await check(bench.server, key ?? "", more);
					expect([part, told]).toMatchObject([part, { ...no(reason), message: expect.stringContaining(part) }]);
				}
				expect(await check(bench.server, inside?.secret ?? "", { sourceAddress: "192.0.2.9" })).toMatchObject(yes);
				const tenant = await openTenant(bench.server);
				expect(await check(tenant, `${tenant.secret}.`)).toMatchObject(no("bad_secret"));
				// Another tenant's key answers like one that does not exist (S10).
				expect(await check(tenant, inside?.secret ?? "")).toEqual(await check(tenant, unknown));
				await tenant.configure({ enabled: true, enrollmentSecret: `next ${hex(16)}`, graceSeconds: 60 });
				expect(await check(tenant, tenant.secret)).toMatchObject({ ...yes, expiresAt: expect.any(String) });
				await tenant.configure({ enabled: false });
				expect(await check(tenant, tenant.secret)).toMatchObject(no("enrollment_disabled"));
			});

			test("of the machine it is asked about: held for approval or by a collision, reused, moved, banned", async () => {
				const approval = await newSite(bench.server, { enrollmentPolicy: "REQUIRE_APPROVAL" });
				const held = { ...no("none"), reason: null };
				expect(await check(bench.server, approval.key)).toMatchObject({ ...held, pendingReason: "APPROVAL_REQUIRED" });
				const { site, machineUid, heldId } = await collide(bench);
				const at = (key: string, hostname: string) => check(bench.server, key, { machineUid, hostname });
				expect(await at(site.key, "first-host")).toMatchObject({ ...yes, outcome: "REUSED" });
				expect(await at((await newSite(bench.server)).key, "first-host")).toMatchObject({ ...yes, outcome: "MOVED" });
				expect(await at(site.key, "second-host")).toMatchObject({ ...held, pendingReason: "COLLISION" });
				await resolve(bench.server, heldId, "BAN");
				expect(await at(site.key, "second-host")).toMatchObject({ ...no("not_allowed"), message: expect.stringContaining("banned") });
			});

			test("host tokens on a server without a shared secret: not_configured, naming MUSTER_SHARED_SECRET", async () => {
				const { secret } = await newHost(bench.server);
				const bare = await startMuster({ runtime, databaseUrl: bench.database.url });
				try {
					expect(await check(bare, secret)).toMatchObject({
						...no("not_configured"),
						message: expect.stringContaining("MUSTER_SHARED_SECRET"),
					});
				} finally {
					await bare.stop();
				}
			});

			test("and nothing changes: not a row of any table, whatever the key and the answer", async () => {
				const { site, machineUid } = await collide(bench);
				const [tenant, approval] = [await openTenant(bench.server), await newSite(bench.server, { enrollmentPolicy: "REQUIRE_APPROVAL" })];
				const [once, host] = [await newKey(bench.server, site.siteCode, { maxUses: 1 }), await newHost(bench.server)];
				const keys = [
					site.key,
					approval.key,
					once.secret,
					host.secret,
					"mst_enroll_oops",
					mintToken("site", Buffer.from(hex(38), "hex")).text,
				];
				const before = await digests(bench.database);
				for (const key of keys) for (const more of [{}, { machineUid, hostname: "third-host" }]) await check(bench.server, key, more);
				for (const key of [tenant.secret, `${tenant.secret}.`]) await check(tenant, key);
				expect([...(await digests(bench.database))]).toEqual([...before]);
				expect(verdict(await enrollByKey(bench.server, once.secret))).toEqual([200, "NEW"]);
			});
		});
	},
	{ MUSTER_SHARED_SECRET: sharedSecret },
);
