/** Machines that nobody knows are decided without a lock (G7): what becomes known between the glance and the write must not be lost, nor written twice. */
import { describe, expect, test } from "bun:test";
import { createEnroller } from "../../src/enrollment/enroll.ts";
import { createLimiter } from "../../src/enrollment/limiter.ts";
import { createProver } from "../../src/enrollment/prove.ts";
import type { Sql } from "../../src/db/port.ts";
import { LinkError } from "../../src/db/link.ts";
import { enrollInput, hex, holding, lockWaiters, newSite, rowCount } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** An enrollment that has looked and is about to write, when another transaction that wrote the same machine ends. */
async function overtaken(end: "commit" | "rollback") {
	const site = await newSite(left.deps);
	const input = enrollInput({ ...site, machineUid: `uid-${hex(12)}` });
	const workerId = `wrk_${hex(13)}`;
	const other = `with machine as (
			insert into workers (tenant_id, id, name, machine_uid, site_id, key_id, method, auto_enrolled, state, labels, created_at, enrolled_at)
			select tenant_id, '${workerId}', 'robot', '${input.worker.machineUid}', site_id, id, 'SITE_KEY', false, 'ACTIVE', '{}', now(), now()
			from keys where id = '${site.keyId}' returning *)
		insert into hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, created_at)
		select 'host_${hex(13)}', tenant_id, name, site_id, id, 'MONITORING', 'MONITORING', now() from machine`;
	const lock = await holding(database.db, other, end);
	const enrolling = left.enroller.enroll(input, "192.0.2.1");
	await lockWaiters(database.db, 1);
	await lock.release();
	const result = await enrolling;
	if (result.kind !== "enrolled") throw new Error(JSON.stringify(result));
	const of = `worker_id = '${result.workerId}'`;
	return {
		result,
		workerId,
		rows: {
			workers: await rowCount(database.db, "workers", `machine_uid = '${input.worker.machineUid}'`),
			hosts: await rowCount(database.db, "hosts", of),
			credentials: await rowCount(database.db, "credentials", of),
			answers: await rowCount(database.db, "enrollments", `enrollment_id = '${input.enrollmentId}' and ${of}`),
			attempts: await rowCount(database.db, "attempts", `machine_uid = '${input.worker.machineUid}'`),
			audit: await rowCount(database.db, "audit", `subject = '${result.workerId}'`),
			uses: await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 1`),
		},
	};
}

const once = { workers: 1, hosts: 1, credentials: 1, answers: 1, attempts: 1, audit: 1, uses: 1 };

describe("a machine that somebody else lets in between the glance and the write (B4, S5, G6)", () => {
	test("is the worker that it has become: one of everything, and one use", async () => {
		const { result, workerId, rows } = await overtaken("commit");
		expect(result).toMatchObject({ outcome: "REUSED", workerId });
		expect(rows).toEqual(once);
	});

	test("is new when the other one gives up: one of everything, and one use", async () => {
		const { result, workerId, rows } = await overtaken("rollback");
		expect(result).toMatchObject({ outcome: "NEW" });
		expect(result.workerId).not.toBe(workerId);
		expect(rows).toEqual(once);
	});

	test("does not take the others of its batch down: each is let in once", async () => {
		const site = await newSite(left.deps);
		const machines = Array.from({ length: 40 }, () => enrollInput({ ...site, machineUid: `uid-${hex(12)}` }));
		const answers = await Promise.all(
			machines.flatMap((input) => [left, right].map(({ enroller }) => enroller.enroll(input, "192.0.2.1"))),
		);
		expect(answers.every(({ kind }) => kind === "enrolled")).toBe(true);
		expect(await rowCount(database.db, "workers", `site_id = '${site.siteId}'`)).toBe(40);
		expect(await rowCount(database.db, "hosts", `site_id = '${site.siteId}'`)).toBe(40);
		expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 40`)).toBe(1);
	});
});

test("G6: a connection that is lost at the glance costs nobody an admission: nothing was written, so it is decided in a transaction", async () => {
	const site = await newSite(left.deps);
	const { sql } = left.deps.db;
	let lost = 0;
	const cut = (first: TemplateStringsArray, ...rest: never[]) => {
		if (!first.join("").includes("any_known")) return sql(first, ...rest);
		lost++;
		return Promise.reject(new LinkError("CONNECTION_CLOSED", "cut by a test"));
	};
	const deps = { ...left.deps, db: { ...left.deps.db, sql: Object.assign(cut, sql) as unknown as Sql } };
	const limiter = createLimiter(deps.clock, { refusalsPerMinute: 10, lockout: { failures: 10, seconds: 60 } });
	const enroller = createEnroller(deps, createProver(deps), limiter);
	expect(await enroller.enroll(enrollInput(site), "192.0.2.1")).toMatchObject({ kind: "enrolled", outcome: "NEW" });
	expect(lost).toBe(1);
	expect(await rowCount(database.db, "keys", `id = '${site.keyId}' and uses = 1`)).toBe(1);
});
