/** What a worker, a host and a credential name is there (S1): asked once a statement, by triggers in place of foreign keys. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isForeignKeyViolation } from "../../src/db/faults.ts";
import { holding, lockWaiters } from "../support/pipeline.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
	await database.db.sql.unsafe(`
		insert into tenants (id, slug, name, created_at) select t, t, t, now() from unnest('{ten_a,ten_b}'::text[]) t;
		insert into sites (id, tenant_id, code, name, enrollment_policy, created_at)
			select 'site_' || t, 'ten_' || t, t, t, 'AUTO_APPROVE', now() from unnest('{a,b}'::text[]) t`);
});
after(() => database.drop());

const worker = (
	id: string,
	site = "site_a",
) => `insert into workers (tenant_id, id, name, site_id, method, auto_enrolled, state, labels, created_at, enrolled_at)
	values ('ten_a', '${id}', 'm', '${site}', 'SITE_KEY', false, 'ACTIVE', '{}', now(), now())`;
const hosts = (...workers: string[]) => `insert into hosts (id, tenant_id, name, worker_id, state, last_known_state, created_at)
	select 'host_' || w, 'ten_a', 'm', w, 'MONITORING', 'MONITORING', now() from unnest('{${workers.join(",")}}'::text[]) w`;
const credentials = (...workers: string[]) => `insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at)
	select 'cred_' || w, 'ten_a', w, 'c', w, sha256(w::bytea), 'abcd', now() from unnest('{${workers.join(",")}}'::text[]) w`;

const refused = (text: string) =>
	assert.rejects(
		async () => await database.db.sql.unsafe(text),
		(error: unknown) => isForeignKeyViolation(error) && /is not there|never changes/.test(String(error)),
	);

async function left(id: string): Promise<number> {
	const [row] = await database.db.sql`
		select (select count(*) from workers where id = ${id}) + (select count(*) from hosts where worker_id = ${id})
			+ (select count(*) from credentials where worker_id = ${id}) as rows`;
	return Number(row?.["rows"]);
}

void test("a host or a credential of a worker that is not there is refused, with all that its statement wrote", async () => {
	await database.db.sql.unsafe(worker("wrk_there"));
	await refused(hosts("wrk_there", "wrk_nowhere"));
	await refused(credentials("wrk_there", "wrk_nowhere"));
	assert.equal(await left("wrk_there"), 1);
	await database.db.sql.unsafe(hosts("wrk_there"));
	await database.db.sql.unsafe(credentials("wrk_there"));
	await refused("update hosts set worker_id = 'wrk_nowhere' where worker_id = 'wrk_there'");
	await refused("update credentials set worker_id = 'wrk_nowhere' where worker_id = 'wrk_there'");
	await refused("update hosts set tenant_id = 'ten_b' where worker_id = 'wrk_there'");
	await refused("update workers set id = 'wrk_other' where id = 'wrk_there'");
	await refused("update sites set id = 'site_other' where id = 'site_a'");
	assert.equal(await left("wrk_there"), 3);
});

void test("a worker of a site that is not there, or of another tenant's, is refused", async () => {
	await refused(worker("wrk_lost", "site_nowhere"));
	await refused(worker("wrk_lost", "site_b"));
	await database.db.sql.unsafe(worker("wrk_moving"));
	await refused("update workers set site_id = 'site_b' where id = 'wrk_moving'");
	await refused("update workers set site_id = 'site_nowhere' where id = 'wrk_moving'");
	await database.db.sql.unsafe("update workers set site_id = null where id = 'wrk_moving'");
});

void test("a worker, its host and its credential come by one statement", async () => {
	await database.db.sql.unsafe(`with w as (${worker("wrk_one")}), h as (${hosts("wrk_one")}), c as (${credentials("wrk_one")}) select 1`);
	assert.equal(await left("wrk_one"), 3);
});

void test("deleting a worker takes its host and its credentials along", async () => {
	for (const text of [worker("wrk_going"), hosts("wrk_going"), credentials("wrk_going")]) await database.db.sql.unsafe(text);
	await database.db.sql.unsafe("delete from workers where id = 'wrk_going'");
	assert.equal(await left("wrk_going"), 0);
});

void test("a worker is not deleted where its host might not be seen: the deletion is refused, nothing is left without it", async () => {
	for (const text of [worker("wrk_seen"), hosts("wrk_seen")]) await database.db.sql.unsafe(text);
	const deleting = database.db.tx(async (tx) => await tx`delete from workers where id = 'wrk_seen'`, { isolation: "repeatable read" });
	await assert.rejects(deleting, /READ COMMITTED/);
	assert.equal(await left("wrk_seen"), 2);
});

for (const [first, second] of [
	["delete from workers where id = 'wrk_race'", "insert"],
	["insert", "delete from workers where id = 'wrk_race'"],
] as const) {
	void test(`a credential that comes while its worker is deleted is not left behind (${first === "insert" ? "the credential" : "the deletion"} first)`, async () => {
		await database.db.sql.unsafe(worker("wrk_race"));
		const text = (which: string) => (which === "insert" ? credentials("wrk_race") : which);
		const held = await holding(database.db, text(first), "commit");
		const later = database.db.sql.unsafe(text(second)).execute();
		const outcome = later.then(
			() => "done",
			(error: unknown) => (isForeignKeyViolation(error) ? "refused" : String(error)),
		);
		await lockWaiters(database.db, 1);
		await held.release();
		assert.equal(await outcome, second === "insert" ? "refused" : "done");
		assert.equal(await left("wrk_race"), 0);
	});
}
