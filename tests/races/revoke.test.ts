import { describe, expect, test } from "bun:test";
import { deleteWorker, revokeWorker } from "../../src/workers/workers.ts";
import { admin, enrollInput, hex, holding, lockWaiters, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** An enrolled machine enrolls again on one server while an operator acts on its worker on the other, in the order in which they queue for its row. */
async function race(first: "enroll" | "act", act: typeof revokeWorker | typeof deleteWorker) {
	const site = await newSite(left.deps);
	const machineUid = `uid-${hex(12)}`;
	const enrolled = await left.enroller.enroll(enrollInput({ ...site, machineUid }), "192.0.2.1");
	if (enrolled.kind !== "enrolled") throw new Error(JSON.stringify(enrolled));
	const { workerId } = enrolled;
	const lock = await holding(database.db, `select id from workers where id = '${workerId}' for update`);
	const enroll = async () => ({ result: await left.enroller.enroll(enrollInput({ ...site, machineUid }), "192.0.2.1") });
	const settle = async () => ({ acted: await act(right.deps, admin, workerId) });
	const begun = first === "enroll" ? enroll() : settle();
	await lockWaiters(database.db, 1);
	const second = first === "enroll" ? settle() : enroll();
	await lockWaiters(database.db, 2);
	await lock.release();
	const both = { ...(await begun), ...(await second) };
	if (!("result" in both)) throw new Error("The enrollment gave no result");
	return { site, machineUid, workerId, result: both.result };
}

describe("a revocation and an enrollment of its machine at once (S4, B6)", () => {
	test("the enrollment first: it is answered, and the revocation cuts off the credential it was just given", async () => {
		const { workerId, result } = await race("enroll", revokeWorker);
		expect(result).toMatchObject({ kind: "enrolled", outcome: "REUSED", workerId });
		expect(await rowCount(database.db, "workers", `id = '${workerId}' and state = 'REVOKED'`)).toBe(1);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}'`)).toBe(2);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}' and revoked_at is null`)).toBe(0);
	});

	test("the revocation first: the enrollment is refused with not_allowed and mints nothing", async () => {
		const { workerId, result } = await race("act", revokeWorker);
		expect(result).toMatchObject({ kind: "rejected", reason: "not_allowed" });
		expect(await rowCount(database.db, "workers", `id = '${workerId}' and state = 'REVOKED'`)).toBe(1);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}'`)).toBe(1);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}' and revoked_at is null`)).toBe(0);
	});
});

describe("a deletion and an enrollment of its machine at once (H1, S4)", () => {
	test("the enrollment first: nothing of the worker is left, neither host nor credential", async () => {
		const { machineUid, workerId } = await race("enroll", deleteWorker);
		expect(await rowCount(database.db, "workers", `machine_uid = '${machineUid}'`)).toBe(0);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}'`)).toBe(0);
		expect(await rowCount(database.db, "hosts", `worker_id = '${workerId}'`)).toBe(0);
	});

	test("the deletion first: the machine is let in as a new worker", async () => {
		const { machineUid, workerId, result } = await race("act", deleteWorker);
		expect(result).toMatchObject({ kind: "enrolled", outcome: "NEW" });
		expect(await rowCount(database.db, "workers", `machine_uid = '${machineUid}'`)).toBe(1);
		expect(await rowCount(database.db, "workers", `id = '${workerId}'`)).toBe(0);
	});
});
