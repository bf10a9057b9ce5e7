import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateReplyKey } from "../../src/protocol/seal.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type GraphQLReply, type Muster, startMuster } from "../support/muster.ts";
import { enrollInput, rowCount } from "../support/pipeline.ts";
import { enroll, metric, newSite, onEachRuntime, rotate } from "./support.ts";

onEachRuntime("many machines at once", (bench) => {
	test("a thousand machines enroll at once with one site key from one address: 1,000 workers, hosts, uses and audit lines, at most 5 Argon2 (S6, S7, G7)", async () => {
		const site = await newSite(bench.server);
		const before = await metric(bench.server, "muster_argon2_verifications_total");
		const inputs = Array.from({ length: 1_000 }, () => enrollInput(site));
		const replies = await Promise.all(inputs.map((input) => enroll(bench.server, input, "192.0.2.99")));
		expect(replies.filter(({ status, data }) => status !== 200 || data.enroll.outcome !== "NEW")).toEqual([]);
		const here = `site_id = (select id from sites where code = '${site.siteCode}')`;
		expect(await rowCount(bench.database.db, "workers", here)).toBe(1_000);
		expect(await rowCount(bench.database.db, "hosts", `${here} and state = 'MONITORING'`)).toBe(1_000);
		expect(await rowCount(bench.database.db, "keys", `${here} and uses = 1000`)).toBe(1);
		const ids = `subject in (select id from workers where ${here})`;
		expect(await rowCount(bench.database.db, "audit", `action = 'enrollment.admitted' and ${ids}`)).toBe(1_000);
		expect(new Set(replies.map(({ data }) => data.enroll.apiKey)).size).toBe(1_000);
		expect((await metric(bench.server, "muster_argon2_verifications_total")) - before).toBeLessThanOrEqual(5);
	});

	test("a key rotated in the midst of two hundred enrollments admits or refuses each one whole: uses, workers and credentials agree (S2)", async () => {
		const site = await newSite(bench.server);
		const waves = [];
		for (let wave = 0; wave < 10; wave++) {
			waves.push(...Array.from({ length: 20 }, () => enroll(bench.server, enrollInput(site))));
			if (wave === 5) waves.push(rotate(bench.server, site.siteCode).then(() => undefined));
		}
		const replies = (await Promise.all(waves)).filter((reply): reply is GraphQLReply => reply !== undefined);
		const kinds = replies.map(({ status, data }) => `${status} ${data.enroll.reason ?? data.enroll.outcome}`);
		expect(kinds.filter((kind) => kind !== "200 NEW" && kind !== "410 revoked")).toEqual([]);
		const admitted = kinds.filter((kind) => kind === "200 NEW").length;
		const here = `site_id = (select id from sites where code = '${site.siteCode}')`;
		expect(await rowCount(bench.database.db, "workers", here)).toBe(admitted);
		expect(await rowCount(bench.database.db, "credentials", `worker_id in (select id from workers where ${here})`)).toBe(admitted);
		expect(await rowCount(bench.database.db, "keys", `${here} and version = 1 and uses = ${admitted}`)).toBe(1);
	});
});

describe("a Bun server and a Deno server on one database behave as one (G2, G5)", () => {
	let database: TestDatabase;
	let servers: readonly [Muster, Muster];
	beforeAll(async () => {
		database = await testDatabase();
		// One after the other: whoever comes second finds the migrations done.
		const first = await startMuster({ runtime: "bun", databaseUrl: database.url });
		servers = [first, await startMuster({ runtime: "deno", databaseUrl: database.url })];
	});
	afterAll(async () => {
		await Promise.all(servers.map((server) => server.stop()));
		await database.drop();
	});

	test("fifty parallel repeats of one enrollment id over both: one worker, one use, the same sealed reply (G6)", async () => {
		const site = await newSite(servers[0]);
		const input = enrollInput({ ...site, replyKey: (await generateReplyKey()).publicKey });
		const replies = await Promise.all(Array.from({ length: 50 }, (_, index) => enroll(servers[index % 2 === 0 ? 0 : 1], input)));
		expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
		expect(new Set(replies.map(({ data }) => data.enroll.sealedApiKey)).size).toBe(1);
		expect(new Set(replies.map(({ data }) => data.enroll.workerId)).size).toBe(1);
		expect(replies.filter(({ data }) => data.enroll.outcome === "NEW")).toHaveLength(1);
		const here = `site_id = (select id from sites where code = '${site.siteCode}')`;
		expect(await rowCount(database.db, "workers", here)).toBe(1);
		expect(await rowCount(database.db, "keys", `${here} and uses = 1`)).toBe(1);
	});

	test("a key rotated on one is refused by the other at once, although it had proven it before (S2)", async () => {
		const site = await newSite(servers[0]);
		expect((await enroll(servers[1], enrollInput(site))).status).toBe(200);
		const next = await rotate(servers[0], site.siteCode);
		expect((await enroll(servers[1], enrollInput(site))).data.enroll.reason).toBe("revoked");
		expect((await enroll(servers[1], enrollInput({ ...site, key: next }))).status).toBe(200);
	});
});
