import { describe, expect, test } from "bun:test";
import { mintToken, parseToken } from "../../src/protocol/token.ts";
import { enrollInput, hex, newEnrollmentKey, rowCount } from "../support/pipeline.ts";
import type { GraphQLReply } from "../support/muster.ts";
import { actOn, type Bench, enroll, heartbeat, metric, newSite, newSource, onEachRuntime, rotate } from "./support.ts";

const uidOf = (input: ReturnType<typeof enrollInput>) => input.worker.machineUid;

/** Expects a refusal in the reply, its HTTP status, the attempt's row, the audit line and the metric (H8, S7). */
async function expectRefusal(
	{ server, database }: Bench,
	reason: string,
	status: number,
	input: ReturnType<typeof enrollInput>,
	source?: string,
) {
	const series = `muster_enroll_rejections_total{reason="${reason}"}`;
	const before = await metric(server, series);
	const reply = await enroll(server, input, source);
	expect(reply.errors).toEqual([]);
	expect(reply.data.enroll).toMatchObject({ __typename: "EnrollmentRejected", reason });
	expect(reply.status).toBe(status);
	expect(await metric(server, series)).toBe(before + 1);
	const uid = uidOf(input);
	expect(await rowCount(database.db, "attempts", `machine_uid = '${uid}' and reason = '${reason}' and not accepted`)).toBe(1);
	const audit = `action = 'enrollment.refused' and detail->>'machineUid' = '${uid}' and detail->>'reason' = '${reason}'`;
	expect(await rowCount(database.db, "audit", audit)).toBe(1);
	return reply;
}

/** The reply of an admitted claim. */
function admitted(reply: GraphQLReply): { workerId: string; hostId: string; outcome: string; apiKey: string } {
	expect(reply.data.enroll.__typename).toBe("Enrolled");
	expect(reply.status).toBe(200);
	return reply.data.enroll;
}

onEachRuntime("enroll with a site key", (bench) => {
	test("a new machine is let in with 200 and an API key that works at once (S3, B6)", async () => {
		const enrolled = admitted(await enroll(bench.server, enrollInput(await newSite(bench.server))));
		expect(enrolled.outcome).toBe("NEW");
		expect(parseToken(enrolled.apiKey)?.kind).toBe("worker");
		const beat = await heartbeat(bench.server, enrolled);
		expect(beat.data.heartbeat.nextInSeconds).toBeGreaterThan(0);
	});

	test("the credential is nowhere in the database in clear (B6)", async () => {
		const { apiKey } = admitted(await enroll(bench.server, enrollInput(await newSite(bench.server))));
		const secret = parseToken(apiKey)?.secret ?? apiKey;
		for (const table of ["workers", "hosts", "credentials", "enrollments", "attempts", "audit", "events", "keys", "alerts"]) {
			expect([table, await rowCount(bench.database.db, table, `${table}::text like '%${secret}%'`)]).toEqual([table, 0]);
		}
	});

	describe("refusals carry their status, row, audit line and metric", () => {
		test("a key rotated away: revoked, 410 (S3)", async () => {
			const site = await newSite(bench.server);
			await rotate(bench.server, site.siteCode);
			await expectRefusal(bench, "revoked", 410, enrollInput(site));
		});

		test("a key within its grace is let in, and after it is expired, 410 (S2)", async () => {
			const site = await newSite(bench.server);
			await rotate(bench.server, site.siteCode, 3_600);
			admitted(await enroll(bench.server, enrollInput(site)));
			await bench.database.db.sql`update keys set grace_ends_at = now() - interval '1 second' where grace_ends_at is not null`;
			await expectRefusal(bench, "expired", 410, enrollInput(site));
		});

		test("a rotation with a grace of 0 seconds ends the old key at once", async () => {
			const site = await newSite(bench.server);
			await rotate(bench.server, site.siteCode, 0);
			await expectRefusal(bench, "revoked", 410, enrollInput(site));
		});

		test("an enrollment key used up: exhausted, 410; expired: expired, 410; from elsewhere: not_allowed, 403 (B3)", async () => {
			const site = await newSite(bench.server);
			const rows = await bench.database.db.sql`select id from sites where code = ${site.siteCode}`;
			const siteId = String(rows[0]?.["id"]);
			const input = (enrollmentKey: string) => ({ ...enrollInput(site), credential: { enrollmentKey } }) as never;
			const once = await newEnrollmentKey(bench.database.db, { siteId, maxUses: 1 });
			admitted(await enroll(bench.server, input(once.key)));
			await expectRefusal(bench, "exhausted", 410, input(once.key));
			const old = await newEnrollmentKey(bench.database.db, { siteId, expiresAt: Date.now() - 1_000 });
			await expectRefusal(bench, "expired", 410, input(old.key));
			const inside = await newEnrollmentKey(bench.database.db, { siteId, allowedCidrs: ["192.0.2.0/24"] });
			await expectRefusal(bench, "not_allowed", 403, input(inside.key), "198.51.100.7");
			admitted(await enroll(bench.server, input(inside.key), "192.0.2.7"));
		});

		test("a requested id of another machine: worker_exists, 409, and an alert that names it (A7)", async () => {
			const site = await newSite(bench.server);
			const requestedId = `mine-${hex(4)}`;
			expect(admitted(await enroll(bench.server, enrollInput({ ...site, requestedId }))).workerId).toBe(requestedId);
			const reply = await expectRefusal(bench, "worker_exists", 409, enrollInput({ ...site, requestedId }));
			expect(reply.data.enroll.message).toContain(requestedId);
			expect(await rowCount(bench.database.db, "alerts", `kind = 'WORKER_EXISTS' and message like '%${requestedId}%'`)).toBe(1);
		});

		test("a machine whose worker was revoked: not_allowed, 403, and its API key is dead", async () => {
			const site = await newSite(bench.server);
			const machineUid = `uid-${hex(12)}`;
			const enrolled = admitted(await enroll(bench.server, enrollInput({ ...site, machineUid })));
			await actOn(bench.server, "revokeWorker", enrolled.workerId);
			await expectRefusal(bench, "not_allowed", 403, enrollInput({ ...site, machineUid }));
			expect((await heartbeat(bench.server, enrolled)).errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
		});

		test("host tokens, which this server has no secret for: not_configured, 503 with Retry-After", async () => {
			const site = await newSite(bench.server);
			const input = { ...enrollInput(site), credential: { hostToken: { token: "mst_host_x", sharedSecret: "x".repeat(32) } } };
			const reply = await expectRefusal(bench, "not_configured", 503, input as never);
			expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
		});
	});

	test("malformed input: bad_request, 400, naming every field at fault; a row that belongs to no tenant", async () => {
		const site = await newSite(bench.server);
		const name = `a bad ${hex(6)}`;
		const before = await metric(bench.server, 'muster_enroll_rejections_total{reason="bad_request"}');
		const reply = await enroll(bench.server, { ...enrollInput({ ...site, machineUid: "short", name }), enrollmentId: "nope" });
		expect(reply.status).toBe(400);
		expect(reply.data.enroll).toMatchObject({ __typename: "EnrollmentRejected", reason: "bad_request" });
		expect(reply.data.enroll.message).toContain("enrollmentId");
		expect(reply.data.enroll.message).toContain("machineUid");
		expect(await metric(bench.server, 'muster_enroll_rejections_total{reason="bad_request"}')).toBe(before + 1);
		expect(await rowCount(bench.database.db, "attempts", `claimed_name = '${name}' and reason = 'bad_request' and tenant_id is null`)).toBe(
			1,
		);
	});

	test("unknown, malformed, wrong, misplaced and foreign keys are refused alike: 401, one text (B3, S10)", async () => {
		const [site, other] = [await newSite(bench.server), await newSite(bench.server)];
		const entropy = Buffer.from(hex(38), "hex");
		Buffer.from(parseToken(site.key)?.selector ?? "", "hex").copy(entropy);
		const guesses = [
			{ ...site, key: mintToken("site", Buffer.from(hex(38), "hex")).text },
			{ ...site, key: "mst_site_oops" },
			{ ...site, key: "" },
			{ ...site, key: mintToken("site", entropy).text },
			{ ...site, key: other.key },
			{ ...site, siteCode: "no-such-site" },
			{ ...site, tenant: "no-such-tenant" },
			{ ...site, key: mintToken("worker", Buffer.from(hex(38), "hex")).text },
		];
		const replies = await Promise.all(guesses.map((guess) => enroll(bench.server, enrollInput(guess))));
		expect(replies.map(({ status }) => status)).toEqual(guesses.map(() => 401));
		expect(new Set(replies.map(({ data }) => `${data.enroll.reason}: ${data.enroll.message}`)).size).toBe(1);
		expect(replies[0]?.data.enroll.reason).toBe("invalid_token");
	});

	test("the same machine again is reused; the old credential lives until the new one was used, then is revoked (S4)", async () => {
		const site = await newSite(bench.server);
		const machineUid = `uid-${hex(12)}`;
		const first = admitted(await enroll(bench.server, enrollInput({ ...site, machineUid })));
		expect((await heartbeat(bench.server, first)).errors).toEqual([]);
		const second = admitted(await enroll(bench.server, enrollInput({ ...site, machineUid })));
		expect(second).toMatchObject({ outcome: "REUSED", workerId: first.workerId, hostId: first.hostId });
		expect((await heartbeat(bench.server, first)).errors).toEqual([]);
		expect((await heartbeat(bench.server, second)).errors).toEqual([]);
		expect((await heartbeat(bench.server, first)).errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
		expect((await heartbeat(bench.server, second)).errors).toEqual([]);
	});

	test("the same machine under another site's key is moved with its host (S4)", async () => {
		const [here, there] = [await newSite(bench.server), await newSite(bench.server)];
		const machineUid = `uid-${hex(12)}`;
		const first = admitted(await enroll(bench.server, enrollInput({ ...here, machineUid })));
		const second = admitted(await enroll(bench.server, enrollInput({ ...there, machineUid })));
		expect(second).toMatchObject({ outcome: "MOVED", workerId: first.workerId, hostId: first.hostId });
		const moved = `site_id = (select id from sites where code = '${there.siteCode}')`;
		expect(await rowCount(bench.database.db, "workers", `id = '${first.workerId}' and ${moved}`)).toBe(1);
		expect(await rowCount(bench.database.db, "hosts", `id = '${first.hostId}' and ${moved}`)).toBe(1);
	});

	test("wrong keys from one source lock it out: 429 with Retry-After and one alert; other sources and the right key are untouched (S6)", async () => {
		const site = await newSite(bench.server);
		const [source, wrong] = [newSource(), { ...site, key: mintToken("site", Buffer.from(hex(38), "hex")).text }];
		for (let index = 0; index < 10; index++) expect((await enroll(bench.server, enrollInput(wrong), source)).status).toBe(401);
		const reply = await expectRefusal(bench, "locked_out", 429, enrollInput(site), source);
		expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(600);
		expect(reply.data.enroll.retryAfterSeconds).toBe(Number(reply.headers.get("retry-after")));
		admitted(await enroll(bench.server, enrollInput(site)));
		expect(await rowCount(bench.database.db, "alerts", `kind = 'LOCKOUT' and message like '%${source}%'`)).toBe(1);
	});

	test("refusals of a right key are limited but lock nobody out: rate_limited, 429 with Retry-After (S6)", async () => {
		const site = await newSite(bench.server);
		const source = newSource();
		await rotate(bench.server, site.siteCode);
		for (let index = 0; index < 10; index++) expect((await enroll(bench.server, enrollInput(site), source)).status).toBe(410);
		const reply = await expectRefusal(bench, "rate_limited", 429, enrollInput(site), source);
		expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
		expect(Number(reply.headers.get("retry-after"))).toBeLessThanOrEqual(60);
	});
});
