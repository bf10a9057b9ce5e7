import { describe, expect, test } from "bun:test";
import { generateReplyKey, open } from "../../src/protocol/seal.ts";
import { parseToken } from "../../src/protocol/token.ts";
import { enrollInput, hex, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** The same request fifty times at once, spread over both servers; all are admitted. */
async function fiftyTimes(input: ReturnType<typeof enrollInput>) {
	const results = await Promise.all(
		Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? left : right).enroller.enroll(input, "192.0.2.1")),
	);
	return results.map((result) => {
		if (result.kind !== "enrolled") throw new Error(JSON.stringify(result));
		return result;
	});
}

describe("one enrollment fifty times at once over two servers (G5, G6)", () => {
	test("with a reply key: one worker, one host, one use, one credential, and the very same sealed reply", async () => {
		const site = await newSite(left.deps);
		const pair = await generateReplyKey();
		const input = enrollInput({ ...site, replyKey: pair.publicKey });
		const replies = await fiftyTimes(input);
		expect(new Set(replies.map(({ sealedApiKey }) => sealedApiKey)).size).toBe(1);
		expect(replies.every(({ apiKey }) => apiKey === null)).toBe(true);
		expect(replies.filter(({ outcome }) => outcome === "NEW")).toHaveLength(1);
		expect(replies.filter(({ outcome }) => outcome === "REPLAYED")).toHaveLength(49);
		const workerId = replies[0]?.workerId;
		const sealed = replies[0]?.sealedApiKey ?? "";
		expect(await rowCount(database.db, "workers", `site_id = '${site.siteId}' and id = '${workerId}'`)).toBe(1);
		expect(await rowCount(database.db, "workers", `site_id = '${site.siteId}'`)).toBe(1);
		expect(await rowCount(database.db, "hosts", `site_id = '${site.siteId}'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 1`)).toBe(1);
		expect(await rowCount(database.db, "credentials", `worker_id = '${workerId}'`)).toBe(1);
		const selector = parseToken(await open(pair.privateKey, input.enrollmentId, sealed))?.selector;
		expect(await rowCount(database.db, "credentials", `selector = '${selector}' and revoked_at is null`)).toBe(1);
	});

	test("without a reply key: one worker, one use, and exactly one of the credentials given out is live", async () => {
		const site = await newSite(left.deps);
		const replies = await fiftyTimes(enrollInput(site));
		const workerId = replies[0]?.workerId ?? "";
		expect(new Set(replies.map((reply) => reply.workerId)).size).toBe(1);
		expect(await rowCount(database.db, "workers", `site_id = '${site.siteId}'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 1`)).toBe(1);
		expect(new Set(replies.map(({ apiKey }) => apiKey)).size).toBe(50);
		const live = await database.db.sql`select selector from credentials where worker_id = ${workerId} and revoked_at is null`;
		expect(live).toHaveLength(1);
		const given = replies.map(({ apiKey }) => parseToken(apiKey ?? "")?.selector);
		expect(given).toContain(live[0]?.["selector"]);
	});

	test("every one of the fifty is an attempt and an audit line (H8, S7)", async () => {
		const site = await newSite(left.deps);
		const input = enrollInput({ ...site, machineUid: `uid-${hex(12)}` });
		await fiftyTimes(input);
		const uid = input.worker.machineUid;
		expect(await rowCount(database.db, "attempts", `machine_uid = '${uid}' and accepted`)).toBe(50);
		expect(await rowCount(database.db, "audit", `action = 'enrollment.admitted' and detail->>'machineUid' = '${uid}'`)).toBe(50);
	});
});
