import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pruneAlerts } from "../../src/alerts/store.ts";
import { pruneEvents } from "../../src/events/store.ts";
import { idFloor } from "../../src/lib/id.ts";
import { prune } from "../../src/retention.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { until } from "../support/until.ts";

const tenant = "ten_00000000000000000000000000";
const now = Date.UTC(2030, 0, 1);
const dayMs = 86_400_000;
const retention = { attemptsDays: 90, attemptsMax: 1_000_000, auditDays: 400, alertsDays: 30 };
let database: TestDatabase;
before(async () => {
	database = await testDatabase();
});
after(() => database.drop());

const deps = () => ({ db: database.db, clock: { now: () => now, monotonic: () => 0 } });
const idAt = (kind: "attempt" | "audit" | "alert", days: number, tail: number) =>
	`${idFloor(kind, now - days * dayMs)}${String(tail).padStart(16, "0")}`;
const idsOf = async (table: string) =>
	(await database.db.sql.unsafe(`select id from ${table} order by id`)).map((row) => String(row["id"]));

async function attempt(days: number, tail: number, accepted: boolean): Promise<{ readonly attempt: string; readonly audit: string }> {
	const ids = { attempt: idAt("attempt", days, tail), audit: idAt("audit", days, tail) };
	const at = new Date(now - days * dayMs);
	const { sql } = database.db;
	await sql`insert into attempts (id, tenant_id, at, accepted, source_address) values (${ids.attempt}, ${tenant}, ${at}, ${accepted}, 'x')`;
	await sql`insert into audit (id, tenant_id, at, actor, action, subject)
		values (${ids.audit}, ${tenant}, ${at}, 'x', ${accepted ? "enrollment.admitted" : "enrollment.refused"}, 'x')`;
	return ids;
}

void test("attempts go when their time is over, refusals with their audit line, and an admission's line stays as long as the audit (S7)", async () => {
	const [oldRefusal, oldAdmission, youngRefusal] = [await attempt(91, 1, false), await attempt(91, 2, true), await attempt(89, 3, false)];
	const change = idAt("audit", 91, 9);
	const { sql } = database.db;
	await sql`insert into audit (id, tenant_id, at, actor, action, subject) values (${change}, ${tenant}, now(), 'x', 'site.created', 'x')`;
	await prune(deps(), retention);
	assert.deepEqual(await idsOf("attempts"), [youngRefusal.attempt]);
	const kept = await idsOf("audit");
	assert.deepEqual(kept, [oldAdmission.audit, change, youngRefusal.audit].sort());
	assert.ok(!kept.includes(oldRefusal.audit));
});

void test("the audit goes when its own time is over; acknowledged alerts go, others never (S7)", async () => {
	const { sql } = database.db;
	const [old, young] = [idAt("audit", 401, 1), idAt("audit", 399, 1)];
	for (const id of [old, young])
		await sql`insert into audit (id, tenant_id, at, actor, action, subject) values (${id}, ${tenant}, now(), 'x', 'site.created', 'x')`;
	const alerts = [
		[idAt("alert", 31, 1), true],
		[idAt("alert", 31, 2), false],
		[idAt("alert", 29, 3), true],
	] as const;
	for (const [id, seen] of alerts)
		await sql`insert into alerts (id, tenant_id, at, kind, severity, message, acknowledged_at, acknowledged_by)
			values (${id}, ${tenant}, now(), 'LOCKOUT', 'info', 'x', ${seen ? new Date(now) : null}, ${seen ? "x" : null})`;
	await prune(deps(), retention);
	assert.ok(!(await idsOf("audit")).includes(old));
	assert.ok((await idsOf("audit")).includes(young));
	assert.deepEqual(await idsOf("alerts"), [alerts[1][0], alerts[2][0]]);
});

void test("a flood of refusals is bounded by a number of rows: the oldest go, a step at a time (S6)", async () => {
	const { sql } = database.db;
	await sql`
		insert into attempts (id, tenant_id, at, accepted, source_address)
		select ${idFloor("attempt", now - dayMs)} || lpad(n::text, 16, '0'), ${tenant}, now(), false, 'x' from generate_series(1, 5000) n`;
	await until("the statistics know of them", async () => {
		const [row] = await sql`select n_live_tup::int as total from pg_stat_user_tables where relname = 'attempts'`;
		return Number(row?.["total"]) >= 5_000;
	});
	await prune(deps(), { ...retention, attemptsMax: 2_000 });
	const left = await idsOf("attempts");
	assert.ok(left.length >= 1_999 && left.length <= 2_001, String(left.length));
	assert.equal(left.at(-1)?.slice(-4), "5000");
});

void test("among thousands of alerts that nobody acknowledged, those that go are found without reading the others", async () => {
	const { sql } = database.db;
	const acknowledged = idAt("alert", 40, 9_999);
	await sql`
		insert into alerts (id, tenant_id, at, kind, severity, message, acknowledged_at, acknowledged_by)
		select ${idFloor("alert", now - 50 * dayMs)} || lpad(n::text, 16, '0'), ${tenant}, now(), 'x', 'info', 'x', null, null from generate_series(1, 5000) n
		union all select ${acknowledged}, ${tenant}, now(), 'x', 'info', 'x', now(), 'x'`;
	await sql`analyze alerts`;
	const read = await database.db.tx(async (tx) => {
		assert.equal(await pruneAlerts(tx, idFloor("alert", now - 30 * dayMs), 1_000), 1);
		const [row] = await tx`
			select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int4 as read from pg_stat_xact_user_tables where relname = 'alerts'`;
		return Number(row?.["read"]);
	});
	assert.ok(read < 100, `${read} rows were read`);
});

void test("events of the outbox go after an hour, oldest first and a bounded number a step; younger ones stay, also behind one that is older (H18)", async () => {
	const { sql } = database.db;
	await sql`delete from events`;
	for (const minutes of [90, 80, 70, 10, 61, 0])
		await sql`insert into events (tenant_id, at, kind, payload) values (${tenant}, now() - ${minutes}::int * interval '1 minute', 'x', '{}')`;
	const left = async () =>
		(await sql`select round(extract(epoch from now() - at) / 60)::int as minutes from events order by id`).map(({ minutes }) =>
			Number(minutes),
		);
	assert.equal(await pruneEvents(sql, 2), 2);
	assert.deepEqual(await left(), [70, 10, 61, 0]);
	assert.equal(await pruneEvents(sql, 100), 2);
	assert.deepEqual(await left(), [10, 0]);
	assert.equal(await pruneEvents(sql, 100), 0);
});
