import { describe, expect, test } from "bun:test";
import { rotateSiteKey } from "../../src/keys/keys.ts";
import { admin, enrollInput, hex, holding, lockWaiters, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** An enrollment on one server and a rotation on the other, in the order in which they queue for the key's lock. */
async function race(first: "enroll" | "rotate") {
	const site = await newSite(left.deps);
	const input = enrollInput({ ...site, machineUid: `uid-${hex(12)}` });
	const lock = await holding(database.db, `select id from keys where id = '${site.keyId}' for update`);
	const enroll = () => left.enroller.enroll(input, "192.0.2.1");
	const rotate = () => rotateSiteKey(right.deps, admin, { siteCode: site.siteCode });
	const begun = first === "enroll" ? enroll() : rotate();
	await lockWaiters(database.db, 1);
	const second = first === "enroll" ? rotate() : enroll();
	await lockWaiters(database.db, 2);
	await lock.release();
	const [one, two] = await Promise.all([begun, second]);
	return { site, input, result: (first === "enroll" ? one : two) as Awaited<ReturnType<typeof enroll>> };
}

describe("a rotation and an enrollment at once (S2, S3)", () => {
	test("the enrollment that locks the key first is admitted, then the key is rotated", async () => {
		const { site, input, result } = await race("enroll");
		expect(result).toMatchObject({ kind: "enrolled", outcome: "NEW" });
		expect(await rowCount(database.db, "keys", `site_id = '${site.siteId}' and active and version = 2`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and not active and uses = 1`)).toBe(1);
		expect(await rowCount(database.db, "workers", `machine_uid = '${input.worker.machineUid}'`)).toBe(1);
	});

	test("a rotation that commits first refuses the old key as revoked, and only the attempt and its audit line are written", async () => {
		const { site, input, result } = await race("rotate");
		expect(result).toMatchObject({ kind: "rejected", reason: "revoked" });
		const uid = `machine_uid = '${input.worker.machineUid}'`;
		const inSite = `site_id = '${site.siteId}'`;
		expect(await rowCount(database.db, "workers", inSite)).toBe(0);
		expect(await rowCount(database.db, "hosts", inSite)).toBe(0);
		expect(await rowCount(database.db, "enrollments", uid)).toBe(0);
		expect(await rowCount(database.db, "keys", `${inSite} and uses > 0`)).toBe(0);
		expect(await rowCount(database.db, "attempts", `${uid} and reason = 'revoked' and not accepted`)).toBe(1);
		expect(
			await rowCount(database.db, "audit", `action = 'enrollment.refused' and detail->>'machineUid' = '${input.worker.machineUid}'`),
		).toBe(1);
	});

	test("neither order deadlocks: no transaction is begun anew", async () => {
		const before = [left.logged.length, right.logged.length];
		await race("enroll");
		await race("rotate");
		const since = [...left.logged.slice(before[0]), ...right.logged.slice(before[1])];
		expect(since.filter((line) => /deadlock|40P01|retr/i.test(line))).toEqual([]);
	});

	test("ten rotations of one site at once give ten versions and leave one active key", async () => {
		const site = await newSite(left.deps);
		const rotations = Array.from({ length: 10 }, (_, index) =>
			rotateSiteKey((index % 2 === 0 ? left : right).deps, admin, { siteCode: site.siteCode }),
		);
		const versions = (await Promise.all(rotations)).map(({ key }) => key.version);
		expect([...versions].sort((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
		expect(await rowCount(database.db, "keys", `site_id = '${site.siteId}' and active`)).toBe(1);
		expect(await rowCount(database.db, "keys", `site_id = '${site.siteId}' and active and version = 11`)).toBe(1);
	});
});
