import { afterAll, beforeAll, expect, test } from "bun:test";
import type { EnrollResult } from "../../src/enrollment/result.ts";
import { sweepStaleHosts } from "../../src/hosts/hosts.ts";
import { rotateSiteKey } from "../../src/keys/keys.ts";
import { createSite } from "../../src/sites/sites.ts";
import { writeHeartbeats } from "../../src/workers/store.ts";
import { approveWorker, deleteWorker, rejectWorker, revokeWorker } from "../../src/workers/workers.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { admin, enrollInput, hex, newSite, openPipeline, type Pipeline, rowCount } from "../support/pipeline.ts";

let database: TestDatabase;
let muster: Pipeline;
beforeAll(async () => {
	database = await testDatabase();
	muster = await openPipeline(database.url);
});
afterAll(async () => {
	await muster.close();
	await database.drop();
});

const enroll = (input: object) => muster.enroller.enroll(input, "192.0.2.1");
const idOf = (result: EnrollResult) => (result.kind === "rejected" ? result.reason : result.workerId);

/** A site whose new workers wait for approval, with its key. */
async function guardedSite() {
	const siteCode = `g-${hex(6)}`;
	await createSite(muster.deps, admin, { code: siteCode, enrollmentPolicy: "REQUIRE_APPROVAL" });
	const { secret } = await rotateSiteKey(muster.deps, admin, { siteCode });
	return { siteCode, key: secret };
}

test("S5: of a dozen clones of one machine each is held as itself, and a banned one stays out, however many there are", async () => {
	const site = await newSite(muster.deps);
	const machineUid = `uid-${hex(12)}`;
	const first = await enroll(enrollInput({ ...site, machineUid, hostname: "h0" }));
	expect(first.kind).toBe("enrolled");
	await database.db.sql`
		insert into heartbeats (tenant_id, worker_id, at) values (${admin.tenantId}, ${idOf(first)}, now())`;
	const clones = Array.from({ length: 12 }, (_, index) => enrollInput({ ...site, machineUid, hostname: `h${index + 1}` }));
	const held: EnrollResult[] = [];
	for (const clone of clones) held.push(await enroll(clone));
	expect(held.map(({ kind }) => kind)).toEqual(clones.map(() => "pending"));
	expect(new Set(held.map(idOf)).size).toBe(clones.length);
	for (const [index, clone] of clones.entries()) {
		expect(idOf(await enroll(clone))).toBe(idOf(held[index] ?? first));
		expect(idOf(await enroll({ ...clone, enrollmentId: hex(16) }))).toBe(idOf(held[index] ?? first));
	}
	const [banned] = held.slice(8);
	await rejectWorker(muster.deps, admin, idOf(banned ?? first));
	expect(await enroll({ ...clones[8], enrollmentId: hex(16) })).toMatchObject({ kind: "rejected", reason: "not_allowed" });
	expect(await rowCount(database.db, "alerts", `kind = 'COLLISION' and site_id = '${site.siteId}'`)).toBe(clones.length);
});

test("S8: approving one machine lets in nobody who claims its uid from another hostname", async () => {
	const site = await guardedSite();
	const machineUid = `uid-${hex(12)}`;
	const [asked, intruding] = [
		enrollInput({ ...site, machineUid, hostname: "real" }),
		enrollInput({ ...site, machineUid, hostname: "other" }),
	];
	const [waiting, held] = [await enroll(asked), await enroll(intruding)];
	expect(held).toMatchObject({ kind: "pending", reason: "COLLISION" });
	expect(idOf(held)).not.toBe(idOf(waiting));
	await approveWorker(muster.deps, admin, idOf(waiting));
	expect(await enroll(intruding)).toMatchObject({ kind: "pending", reason: "COLLISION" });
	expect(await enroll(asked)).toMatchObject({ kind: "enrolled", workerId: idOf(waiting) });
});

test("S8: a machine of another site does not move into one that asks for approval", async () => {
	const [open, guarded] = [await newSite(muster.deps), await guardedSite()];
	const machineUid = `uid-${hex(12)}`;
	const worker = await enroll(enrollInput({ ...open, machineUid }));
	expect(await enroll(enrollInput({ ...guarded, machineUid }))).toMatchObject({ kind: "rejected", reason: "not_allowed" });
	expect(await rowCount(database.db, "workers", `id = '${idOf(worker)}' and site_id = '${open.siteId}'`)).toBe(1);
});

test("S2: a rotation without grace ends every former key, those with a grace of an earlier rotation too", async () => {
	const site = await newSite(muster.deps);
	await rotateSiteKey(muster.deps, admin, { siteCode: site.siteCode, graceSeconds: 3_600 });
	expect(await enroll(enrollInput(site))).toMatchObject({ kind: "enrolled" });
	await rotateSiteKey(muster.deps, admin, { siteCode: site.siteCode });
	expect(await enroll(enrollInput(site))).toMatchObject({ kind: "rejected", reason: "revoked" });
});

test("S2: a shorter grace shortens that of keys rotated away earlier, a longer one gives them nothing", async () => {
	const site = await newSite(muster.deps);
	const graceOf = async () => {
		const [row] = await database.db
			.sql`select extract(epoch from grace_ends_at - now())::float8 as left from keys where id = ${site.keyId}`;
		return Number(row?.["left"]);
	};
	await rotateSiteKey(muster.deps, admin, { siteCode: site.siteCode, graceSeconds: 3_600 });
	await rotateSiteKey(muster.deps, admin, { siteCode: site.siteCode, graceSeconds: 86_400 });
	expect(await graceOf()).toBeLessThanOrEqual(3_600);
	await rotateSiteKey(muster.deps, admin, { siteCode: site.siteCode, graceSeconds: 60 });
	expect(await graceOf()).toBeLessThanOrEqual(60);
});

test("revoking, deleting and repeating at once never wait for each other in a circle", async () => {
	const site = await newSite(muster.deps);
	const before = await deadlocks();
	for (let round = 0; round < 10; round++) {
		const input = enrollInput({ ...site, machineUid: `uid-${hex(12)}` });
		const id = idOf(await enroll(input));
		await Promise.allSettled([enroll(input), revokeWorker(muster.deps, admin, id), deleteWorker(muster.deps, admin, id), enroll(input)]);
	}
	expect(await deadlocks()).toBe(before);
	expect(muster.logged.filter((line) => line.includes("deadlock"))).toEqual([]);
});

test("H13: a worker that an operator revoked raises no alert for sending no heartbeats", async () => {
	const site = await newSite(muster.deps);
	const id = idOf(await enroll(enrollInput(site)));
	await revokeWorker(muster.deps, admin, id);
	await database.db.sql`update hosts set monitoring_since = now() - interval '1 day' where worker_id = ${id}`;
	await sweepStaleHosts(muster.deps, 90);
	expect(await rowCount(database.db, "hosts", `worker_id = '${id}' and state = 'MONITORING'`)).toBe(1);
});

async function deadlocks(): Promise<number> {
	const [row] = await database.db.sql`select deadlocks::int as total from pg_stat_database where datname = current_database()`;
	return Number(row?.["total"]);
}

test("B6: a heartbeat on its way when its worker is revoked is not written: the host does not look alive", async () => {
	const site = await newSite(muster.deps);
	const [cut, kept] = [idOf(await enroll(enrollInput(site))), idOf(await enroll(enrollInput(site)))];
	await revokeWorker(muster.deps, admin, cut);
	const beat = (workerId: string) => ({
		tenantId: admin.tenantId,
		workerId,
		at: muster.deps.clock.now(),
		bootId: null,
		sequence: 1,
		load1: null,
		memoryUsedBytes: null,
		uptimeSeconds: null,
	});
	await writeHeartbeats(muster.deps.db.sql, [beat(cut), beat(kept)]);
	expect(await rowCount(database.db, "heartbeats", `worker_id in ('${cut}', '${kept}')`)).toBe(1);
	expect(await rowCount(database.db, "heartbeats", `worker_id = '${kept}'`)).toBe(1);
});

test("S10: a key that is nobody's is shown to the only tenant there is, and to none of several: it may be another's mistyped one", async () => {
	const stray = async (name: string) => {
		const { worker, enrollmentId } = enrollInput({ siteCode: "x", key: "x", name });
		expect(await enroll({ enrollmentId, worker, credential: { enrollmentKey: "nonsense" } })).toMatchObject({ reason: "invalid_token" });
		return [
			await rowCount(database.db, "attempts", `claimed_name = '${name}' and tenant_id = '${admin.tenantId}'`),
			await rowCount(database.db, "audit", `subject = '${name}' and tenant_id = '${admin.tenantId}'`),
			await rowCount(database.db, "attempts", `claimed_name = '${name}' and tenant_id is null`),
		];
	};
	expect(await stray(`alone-${hex(6)}`)).toEqual([1, 1, 0]);
	await database.db.sql`insert into tenants (id, slug, name, created_at) values ('ten_two', 'two', 'Two', now())`;
	expect(await stray(`among-${hex(6)}`)).toEqual([0, 0, 1]);
});
