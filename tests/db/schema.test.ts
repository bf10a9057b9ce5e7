import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { schemaSql } from "../../scripts/schema-sql.ts";
import { connect } from "../../src/db/client.ts";
import { isForeignKeyViolation } from "../../src/db/faults.ts";
import { Secret } from "../../src/lib/secret.ts";
import { inDatabase, type TestDatabase, testDatabase } from "../support/db.ts";

const file = join(import.meta.dirname, "..", "..", "migrations", "schema.sql");
let database: TestDatabase;
before(async () => {
	database = await testDatabase();
});
after(() => database.drop());

void test("migrations/schema.sql is the schema after the last migration; `node scripts/run.mjs schema:sql` writes it", async () => {
	assert.equal(await schemaSql(database.url), await readFile(file, "utf8"));
});

void test("migrations/schema.sql is SQL: run on an empty database, it makes the same schema", async () => {
	const name = `${new URL(database.url).pathname.slice(1)}_again`;
	await database.db.sql.unsafe(`create database ${name}`);
	const url = inDatabase(database.url, name);
	try {
		await load(url, await readFile(file, "utf8"));
		assert.equal(await schemaSql(url), await readFile(file, "utf8"));
	} finally {
		await database.db.sql.unsafe(`drop database ${name} with (force)`);
	}
});

void test("the dump changes with a column, a default, a constraint, an index, a sample, a function and a trigger", async () => {
	const changes = [
		"alter table fleets add column note text",
		"alter table fleets alter column note set default 'x'",
		"alter table fleets alter column note set not null",
		"alter table fleets add constraint short check (length(name) < 100)",
		"create index fleets_by_note on fleets (note)",
		"alter table fleets alter column note set statistics 7",
		"create function nothing() returns trigger language plpgsql as $$ begin return null; end $$",
		"create trigger nothing after insert on fleets for each row execute function nothing()",
	];
	const seen = new Set([await schemaSql(database.url)]);
	for (const change of changes) {
		await database.db.sql.unsafe(change);
		const text = await schemaSql(database.url);
		assert.ok(!seen.has(text), change);
		seen.add(text);
	}
});

void test("a tenant or a site that machines name cannot be deleted, whatever names it, though machines are let in without a check for each (S1)", async () => {
	const { sql } = database.db;
	await sql`insert into tenants (id, slug, name, created_at) values ('ten_kept', 'kept', 'kept', now())`;
	await sql`insert into sites (id, tenant_id, code, name, enrollment_policy, created_at)
		values ('site_kept', 'ten_kept', 'kept', 'kept', 'AUTO_APPROVE', now())`;
	const refused = (error: unknown) => isForeignKeyViolation(error) && /never deleted/.test(String(error));
	await assert.rejects(async () => await sql`delete from sites where id = 'site_kept'`, refused);
	await assert.rejects(async () => await sql`delete from tenants where id = 'ten_kept'`, refused);
});

/** Tables name each other before they are made, so foreign keys wait until the end. */
async function load(url: string, text: string): Promise<void> {
	const sql = connect(new Secret(url), 1, {});
	const later: string[] = [];
	try {
		for (const statement of text.split(/;\n/)) {
			const table = /create (?:unlogged )?table (\S+)/.exec(statement)?.[1];
			const now = statement.replaceAll(/,\n\t(constraint \S+ FOREIGN KEY [^\n]*?)(?=,?\n)/g, (_, constraint: string) => {
				later.push(`alter table ${table} add ${constraint}`);
				return "";
			});
			await sql.unsafe(now);
		}
		for (const statement of later) await sql.unsafe(statement);
	} finally {
		await sql.end({ timeout: 1 });
	}
}
