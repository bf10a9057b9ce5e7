/** Batches on one key run beside each other where its uses are without end (G7): what that must not lose, and what it must give. */
import { describe, expect, test } from "bun:test";
import { enrollInput, hex, holding, lockWaiters, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** Keeps whoever writes the answer of this enrollment id waiting, after its verdict and before its commit. */
const holdingAnswer = (enrollmentId: string, siteKeyId: string) =>
	holding(
		database.db,
		`insert into enrollments (tenant_id, enrollment_id, key_id, worker_id, machine_uid, state, created_at)
		select tenant_id, '${enrollmentId}', id, 'wrk_of_a_test', 'uid', 'held', now() from keys where id = '${siteKeyId}'`,
		"rollback",
	);

describe("two batches on one site key at once", () => {
	test("G7: an enrollment that waits inside its transaction holds up no other on the same key", async () => {
		const site = await newSite(left.deps);
		const waiting = enrollInput(site);
		const lock = await holdingAnswer(waiting.enrollmentId, site.keyId);
		const first = left.enroller.enroll(waiting, "192.0.2.1");
		await lockWaiters(database.db, 1);
		expect(await right.enroller.enroll(enrollInput(site), "192.0.2.2")).toMatchObject({ kind: "enrolled", outcome: "NEW" });
		await lock.release();
		expect(await first).toMatchObject({ kind: "enrolled", outcome: "NEW" });
		expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 2`)).toBe(1);
	});

	test("S5: one clone that asks twice at once is one held claim, though the second batch began before the first had written it", async () => {
		const site = await newSite(left.deps);
		const uid = `uid-${hex(12)}`;
		const machine = await left.enroller.enroll(enrollInput({ ...site, machineUid: uid, hostname: "the-machine" }), "192.0.2.1");
		if (machine.kind !== "enrolled") throw new Error(JSON.stringify(machine));
		const { workerId } = machine;
		await database.db
			.sql`insert into heartbeats (tenant_id, worker_id, at) select tenant_id, id, now() from workers where id = ${workerId}`;
		const clone = () => enrollInput({ ...site, machineUid: uid, hostname: "the-clone" });
		const one = clone();
		const lock = await holdingAnswer(one.enrollmentId, site.keyId);
		const first = left.enroller.enroll(one, "192.0.2.3");
		await lockWaiters(database.db, 1);
		const second = right.enroller.enroll(clone(), "192.0.2.3");
		await lockWaiters(database.db, 2);
		await lock.release();
		const answers = await Promise.all([first, second]);
		expect(answers.map(({ kind }) => kind)).toEqual(["pending", "pending"]);
		expect(new Set(answers.map((answer) => (answer.kind === "pending" ? answer.workerId : undefined))).size).toBe(1);
		expect(await rowCount(database.db, "workers", `contested_uid = '${uid}'`)).toBe(1);
	});
});
