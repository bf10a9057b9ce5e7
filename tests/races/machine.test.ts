import { describe, expect, test } from "bun:test";
import type { EnrollResult } from "../../src/enrollment/result.ts";
import { enrollInput, hex, holding, lockWaiters, newEnrollmentKey, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** Two enrollments on two servers that have both decided before either has written its worker. */
async function bothDecided(one: object, two: object): Promise<[EnrollResult, EnrollResult]> {
	// SHARE lets both lock and read what there is, and stops both at their insert.
	const lock = await holding(database.db, "lock table workers in share mode");
	const both = Promise.all([left.enroller.enroll(one, "192.0.2.1"), right.enroller.enroll(two, "192.0.2.2")]);
	await lockWaiters(database.db, 2);
	await lock.release();
	return both;
}

const outcomeOf = (result: EnrollResult) =>
	result.kind === "enrolled" ? result.outcome : result.kind === "rejected" ? result.reason : result.kind;

describe("two servers decide on the same machine at once (S4, G5)", () => {
	test("one machine through two sites' keys is one worker: new through one, moved through the other", async () => {
		const [here, there] = await Promise.all([newSite(left.deps), newSite(right.deps)]);
		const machineUid = `uid-${hex(12)}`;
		const results = await bothDecided(enrollInput({ ...here, machineUid }), enrollInput({ ...there, machineUid }));
		expect(results.map(outcomeOf).sort()).toEqual(["MOVED", "NEW"]);
		expect(await rowCount(database.db, "workers", `machine_uid = '${machineUid}'`)).toBe(1);
		const ids = results.map((result) => (result.kind === "enrolled" ? result.workerId : "none"));
		expect(new Set(ids).size).toBe(1);
		expect(await rowCount(database.db, "hosts", `worker_id = '${ids[0]}'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id in ('${here.keyId}', '${there.keyId}') and uses = 1`)).toBe(2);
		const moved = results.findIndex((result) => outcomeOf(result) === "MOVED");
		const last = [here, there][moved];
		expect(await rowCount(database.db, "workers", `machine_uid = '${machineUid}' and site_id = '${last?.siteId}'`)).toBe(1);
	});

	test("two machines that ask for the same id: one has it, the other is refused with worker_exists (A7)", async () => {
		const [here, there] = await Promise.all([newSite(left.deps), newSite(right.deps)]);
		const requestedId = `mine-${hex(4)}`;
		const results = await bothDecided(enrollInput({ ...here, requestedId }), enrollInput({ ...there, requestedId }));
		expect(results.map(outcomeOf).sort()).toEqual(["NEW", "worker_exists"]);
		expect(await rowCount(database.db, "workers", `id = '${requestedId}'`)).toBe(1);
		expect(await rowCount(database.db, "alerts", `kind = 'WORKER_EXISTS' and worker_id = '${requestedId}'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id in ('${here.keyId}', '${there.keyId}') and uses = 1`)).toBe(1);
	});

	test("one enrollment id sent with two sites' keys at once is one enrollment; the other key is refused", async () => {
		const [here, there] = await Promise.all([newSite(left.deps), newSite(right.deps)]);
		const [machineUid, enrollmentId] = [`uid-${hex(12)}`, hex(16)];
		const results = await bothDecided(
			enrollInput({ ...here, machineUid, enrollmentId }),
			enrollInput({ ...there, machineUid, enrollmentId }),
		);
		expect(results.map(outcomeOf).sort()).toEqual(["NEW", "bad_request"]);
		expect(await rowCount(database.db, "workers", `machine_uid = '${machineUid}'`)).toBe(1);
	});

	test("one enrollment id sent by two machines through two sites' keys at once is one enrollment; the other machine is refused and leaves nothing", async () => {
		const [here, there] = await Promise.all([newSite(left.deps), newSite(right.deps)]);
		const enrollmentId = hex(16);
		const results = await bothDecided(enrollInput({ ...here, enrollmentId }), enrollInput({ ...there, enrollmentId }));
		expect(results.map(outcomeOf).sort()).toEqual(["NEW", "bad_request"]);
		expect(await rowCount(database.db, "workers", `site_id in ('${here.siteId}', '${there.siteId}')`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id in ('${here.keyId}', '${there.keyId}') and uses = 1`)).toBe(1);
	});
});

test("a key of ten uses admits exactly ten of sixty machines that come at once to two servers (B4)", async () => {
	const site = await newSite(left.deps);
	const { keyId, key } = await newEnrollmentKey(database.db, { siteId: site.siteId, maxUses: 10 });
	const results = await Promise.all(
		Array.from({ length: 60 }, (_, index) => {
			const input = { ...enrollInput(site), credential: { enrollmentKey: key } };
			return (index % 2 === 0 ? left : right).enroller.enroll(input, "192.0.2.1");
		}),
	);
	const outcomes = results.map(outcomeOf);
	expect(outcomes.filter((outcome) => outcome === "NEW")).toHaveLength(10);
	expect(outcomes.filter((outcome) => outcome === "exhausted")).toHaveLength(50);
	expect(await rowCount(database.db, "workers", `key_id = '${keyId}'`)).toBe(10);
	expect(await rowCount(database.db, "keys", `id = '${keyId}' and uses = 10`)).toBe(1);
});
