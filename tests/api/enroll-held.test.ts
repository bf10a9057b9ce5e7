import { describe, expect, test } from "bun:test";
import { generateReplyKey, open } from "../../src/protocol/seal.ts";
import { enrollInput, hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { actOn, type Bench, enroll, heartbeat, newSite, onEachRuntime } from "./support.ts";

/** An enrolled worker that the server has heard of just now. */
async function online({ server, database }: Bench, site: { siteCode: string; key: string }, hostname: string) {
	const machineUid = `uid-${hex(12)}`;
	const reply = await enroll(server, enrollInput({ ...site, machineUid, hostname }));
	const { workerId, apiKey } = reply.data.enroll;
	await heartbeat(server, { workerId, apiKey });
	await until("the heartbeat is written", async () => (await rowCount(database.db, "heartbeats", `worker_id = '${workerId}'`)) === 1);
	return { machineUid, workerId: String(workerId), apiKey: String(apiKey) };
}

onEachRuntime("a held enrollment", (bench) => {
	describe("at a site that requires approval (S8)", () => {
		const approvalSite = () => newSite(bench.server, { enrollmentPolicy: "REQUIRE_APPROVAL" });

		test("a new machine is held: 202 with Retry-After, no credential, an attempt and an audit line", async () => {
			const input = enrollInput(await approvalSite());
			const reply = await enroll(bench.server, input);
			expect(reply.status).toBe(202);
			expect(reply.data.enroll).toEqual({
				__typename: "EnrollmentPending",
				workerId: expect.any(String),
				pending: "APPROVAL_REQUIRED",
				wait: 10,
			});
			expect(reply.headers.get("retry-after")).toBe("10");
			const uid = input.worker.machineUid;
			expect(await rowCount(bench.database.db, "credentials", `worker_id = '${reply.data.enroll.workerId}'`)).toBe(0);
			expect(await rowCount(bench.database.db, "attempts", `machine_uid = '${uid}' and not accepted and reason is null`)).toBe(1);
			expect(await rowCount(bench.database.db, "audit", `action = 'enrollment.held' and detail->>'machineUid' = '${uid}'`)).toBe(1);
			expect(await rowCount(bench.database.db, "hosts", `worker_id = '${reply.data.enroll.workerId}' and state = 'PENDING'`)).toBe(1);
		});

		test("asking again while held makes no second worker and counts no second use", async () => {
			const site = await approvalSite();
			const input = enrollInput(site);
			const ids = [];
			for (let index = 0; index < 3; index++) ids.push((await enroll(bench.server, input)).data.enroll.workerId);
			expect(new Set(ids).size).toBe(1);
			const here = `site_id = (select id from sites where code = '${site.siteCode}')`;
			expect(await rowCount(bench.database.db, "workers", here)).toBe(1);
			expect(await rowCount(bench.database.db, "keys", `${here} and uses = 1`)).toBe(1);
		});

		test("once approved, the same enrollment id gets a sealed credential that works; no restart, no second use", async () => {
			const site = await approvalSite();
			const pair = await generateReplyKey();
			const input = enrollInput({ ...site, replyKey: pair.publicKey });
			const { workerId } = (await enroll(bench.server, input)).data.enroll;
			await actOn(bench.server, "approveWorker", workerId);
			const reply = await enroll(bench.server, input);
			expect(reply.status).toBe(200);
			expect(reply.data.enroll).toMatchObject({ __typename: "Enrolled", workerId, outcome: "NEW", apiKey: null });
			const apiKey = await open(pair.privateKey, input.enrollmentId, reply.data.enroll.sealedApiKey);
			expect((await heartbeat(bench.server, { workerId, apiKey })).errors).toEqual([]);
			const here = `site_id = (select id from sites where code = '${site.siteCode}')`;
			expect(await rowCount(bench.database.db, "keys", `${here} and uses = 1`)).toBe(1);
			expect(await rowCount(bench.database.db, "hosts", `worker_id = '${workerId}' and state = 'MONITORING'`)).toBe(1);
		});

		test("once rejected, the same enrollment id is refused with not_allowed, 403", async () => {
			const input = enrollInput(await approvalSite());
			const { workerId } = (await enroll(bench.server, input)).data.enroll;
			await actOn(bench.server, "rejectWorker", workerId);
			const reply = await enroll(bench.server, input);
			expect([reply.status, reply.data.enroll.reason]).toEqual([403, "not_allowed"]);
		});

		test("an approved machine is let in again without another approval", async () => {
			const site = await approvalSite();
			const machineUid = `uid-${hex(12)}`;
			const input = enrollInput({ ...site, machineUid });
			const { workerId } = (await enroll(bench.server, input)).data.enroll;
			await actOn(bench.server, "approveWorker", workerId);
			await enroll(bench.server, input);
			const reply = await enroll(bench.server, enrollInput({ ...site, machineUid }));
			expect(reply.data.enroll).toMatchObject({ __typename: "Enrolled", outcome: "REUSED", workerId });
		});
	});

	describe("of a machine uid whose worker is online elsewhere (S5)", () => {
		test("is a collision: 202, no credential, evidence of both, a critical alert; the incumbent lives on", async () => {
			const site = await newSite(bench.server);
			const incumbent = await online(bench, site, "first-host");
			const reply = await enroll(bench.server, enrollInput({ ...site, machineUid: incumbent.machineUid, hostname: "second-host" }));
			expect(reply.status).toBe(202);
			expect(reply.data.enroll).toMatchObject({ __typename: "EnrollmentPending", pending: "COLLISION" });
			const { workerId } = reply.data.enroll;
			expect(workerId).not.toBe(incumbent.workerId);
			expect(await rowCount(bench.database.db, "credentials", `worker_id = '${workerId}'`)).toBe(0);
			const evidence = `evidence->'incumbent'->>'hostname' = 'first-host' and evidence->'claimant'->>'hostname' = 'second-host'`;
			expect(await rowCount(bench.database.db, "workers", `id = '${workerId}' and state = 'PENDING' and ${evidence}`)).toBe(1);
			expect(
				await rowCount(bench.database.db, "alerts", `kind = 'COLLISION' and severity = 'critical' and worker_id = '${workerId}'`),
			).toBe(1);
			expect((await heartbeat(bench.server, incumbent)).errors).toEqual([]);
		});

		test("stays one claim with one alert, however often and under whatever enrollment id it is made", async () => {
			const site = await newSite(bench.server);
			const { machineUid } = await online(bench, site, "first-host");
			const ids = [];
			for (let index = 0; index < 3; index++) {
				ids.push((await enroll(bench.server, enrollInput({ ...site, machineUid, hostname: "second-host" }))).data.enroll.workerId);
			}
			expect(new Set(ids).size).toBe(1);
			expect(await rowCount(bench.database.db, "alerts", `kind = 'COLLISION' and worker_id = '${ids[0]}'`)).toBe(1);
		});

		test("cannot be approved like a newcomer: the collision must be resolved", async () => {
			const site = await newSite(bench.server);
			const { machineUid } = await online(bench, site, "first-host");
			const { workerId } = (await enroll(bench.server, enrollInput({ ...site, machineUid, hostname: "second-host" }))).data.enroll;
			const refused = await actOn(bench.server, "approveWorker", workerId).then(() => "approved", String);
			expect(refused).toContain("CONFLICT");
		});

		test("is no collision from the same hostname: reused", async () => {
			const site = await newSite(bench.server);
			const { machineUid, workerId } = await online(bench, site, "first-host");
			const reply = await enroll(bench.server, enrollInput({ ...site, machineUid, hostname: "first-host" }));
			expect(reply.data.enroll).toMatchObject({ __typename: "Enrolled", outcome: "REUSED", workerId });
		});

		test("is no collision once the incumbent has not been heard for MUSTER_STALE_SECONDS: reused", async () => {
			const site = await newSite(bench.server);
			const { machineUid, workerId } = await online(bench, site, "first-host");
			await bench.database.db.sql`update heartbeats set at = now() - interval '2 minutes' where worker_id = ${workerId}`;
			const reply = await enroll(bench.server, enrollInput({ ...site, machineUid, hostname: "second-host" }));
			expect(reply.data.enroll).toMatchObject({ __typename: "Enrolled", outcome: "REUSED", workerId });
		});
	});
});
