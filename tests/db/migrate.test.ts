import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { connect, openConnection } from "../../src/db/client.ts";
import { migrate, readMigrations } from "../../src/db/migrate.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { inDatabase, type TestDatabase, testDatabase } from "../support/db.ts";
import { soon, until } from "../support/until.ts";

/** Only to get to the server. */
let host: TestDatabase;
const cleanUps: (() => Promise<void>)[] = [];
let made = 0;
before(async () => {
	host = await testDatabase();
});
after(() => host.drop());
afterEach(async () => {
	for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

void test("files are applied in the order of their numbers, and a second run applies none", async () => {
	const dir = await files({
		"0002-row.sql": "insert into things (id) values (1);",
		"0001-things.sql": "create table things (id integer);",
		"0003-column.sql": "alter table things add column note text default 'x';\nupdate things set id = 2;",
	});
	const { url, sql } = await emptyDatabase();
	assert.equal(await run(url, dir), 3);
	assert.deepEqual({ ...(await sql`select id, note from things`)[0] }, { id: 2, note: "x" });
	assert.deepEqual(await ledger(sql), ["1 things", "2 row", "3 column"]);
	assert.equal(await run(url, dir), 0);
	await writeFile(join(dir, "0004-more.sql"), "insert into things (id) values (3);");
	assert.equal(await run(url, dir), 1, "a later file is applied on its own");
	assert.deepEqual(await ledger(sql), ["1 things", "2 row", "3 column", "4 more"]);
});

void test("a file that was changed after it was applied stops the run and is named; line ends do not count", async () => {
	const dir = await files({ "0001-one.sql": "create table one (id integer);\n", "0002-two.sql": "create table two (id integer);\n" });
	const { url, sql } = await emptyDatabase();
	await run(url, dir);
	await writeFile(join(dir, "0001-one.sql"), "create table one (id integer);\r\n");
	assert.equal(await run(url, dir), 0);
	await writeFile(join(dir, "0001-one.sql"), "create table one (id bigint);\n");
	await writeFile(join(dir, "0003-three.sql"), "create table three (id integer);\n");
	await assert.rejects(run(url, dir), /0*1-one\.sql was changed/);
	assert.equal(await exists(sql, "three"), false, "nothing is applied on top of a drift");
});

void test("a gap or a double in the numbers is refused, naming the file, before anything is applied", async () => {
	const { url, sql } = await emptyDatabase();
	const gap = await files({ "0001-one.sql": "create table one (id integer);", "0003-three.sql": "select 1;" });
	await assert.rejects(run(url, gap), /0003-three\.sql.*number 2/);
	const double = await files({ "0001-one.sql": "create table one (id integer);", "0001-uno.sql": "select 1;" });
	await assert.rejects(run(url, double), /0001-uno\.sql.*number 2/);
	assert.equal(await exists(sql, "one"), false);
});

void test("a ledger with a hole is refused", async () => {
	const dir = await files({ "0001-one.sql": "select 1;", "0002-two.sql": "select 2;" });
	const { url, sql } = await emptyDatabase();
	await run(url, dir);
	await sql`delete from muster_migrations where number = 1`;
	await assert.rejects(run(url, dir), /lacks migration 1/);
});

void test("a database that is newer than the program is refused, naming the migration and the remedy", async () => {
	const dir = await files({ "0001-one.sql": "select 1;", "0002-future.sql": "select 2;" });
	const { url } = await emptyDatabase();
	await run(url, dir);
	await rm(join(dir, "0002-future.sql"));
	await assert.rejects(run(url, dir), /migration 2 \(future\).*newer program/);
});

void test("a file that fails leaves nothing of itself, names itself, and is applied once it was mended", async () => {
	const dir = await files({
		"0001-good.sql": "create table good (id integer);",
		"0002-bad.sql": "create table half (id integer);\ninsert into good (id) values (1);\nselect 1 / 0;",
		"0003-never.sql": "create table never (id integer);",
	});
	const { url, sql } = await emptyDatabase();
	await assert.rejects(run(url, dir), (error: Error) => {
		assert.match(error.message, /0002-bad\.sql.*division by zero/);
		assert.equal(error.name, "MigrationError");
		return true;
	});
	assert.deepEqual([await exists(sql, "good"), await exists(sql, "half"), await exists(sql, "never")], [true, false, false]);
	assert.equal((await sql`select 1 from good`).length, 0);
	assert.deepEqual(await ledger(sql), ["1 good"]);
	await writeFile(join(dir, "0002-bad.sql"), "create table half (id integer);");
	assert.equal(await run(url, dir), 2);
});

void test("a file with `-- no-transaction` may create an index concurrently, and runs again after it stopped half way", async () => {
	const dir = await files({
		"0001-things.sql": "create table things (id integer);",
		"0002-index.sql": [
			"-- no-transaction: the table is large; it is written to meanwhile",
			"create index concurrently if not exists things_by_id on things (id);",
			"-- a comment; with a semicolon",
			"insert into things (id) values (1);",
			"select 1 / (select count(*) from pg_class where relname = 'mended');",
		].join("\n"),
	});
	const { url, sql } = await emptyDatabase();
	await assert.rejects(run(url, dir), /0002-index\.sql.*division by zero/);
	assert.deepEqual(await ledger(sql), ["1 things"], "half a file is not recorded");
	await sql`create table mended (id integer)`;
	assert.equal(await run(url, dir), 1);
	const index = await sql`select indisvalid from pg_index where indexrelid = 'things_by_id'::regclass`;
	assert.equal(index[0]?.["indisvalid"], true);
	assert.deepEqual(await ledger(sql), ["1 things", "2 index"]);
});

void test("G5 a migration that meets a server at work, each with what the other needs, is applied after it: the start does not fail", async () => {
	const dir = await files({ "0001-tables.sql": "create table left_one (id integer);\ncreate table right_one (id integer);" });
	const { url, sql } = await emptyDatabase();
	await run(url, dir);
	await writeFile(join(dir, "0002-both.sql"), "lock table left_one;\nlock table right_one;\nalter table right_one add column note text;");
	const { sql: server, close } = await openConnection(new Secret(url), {});
	cleanUps.push(async () => close());
	// It is the migration that gives up.
	await server.unsafe("begin; set local deadlock_timeout = '60s'; lock table right_one");
	const migrating = run(url, dir);
	await until("the migration waits for its second table", async () => {
		return (await sql`select 1 from pg_locks where not granted and relation = 'right_one'::regclass`).length > 0;
	});
	await server.unsafe("lock table left_one; commit");
	assert.equal(await soon("the migration", migrating), 1);
	assert.deepEqual(await ledger(sql), ["1 tables", "2 both"]);
});

void test("G5 of servers that start at once one applies each file and the others wait for it", async () => {
	const dir = await files({
		"0001-once.sql": "create table once (id integer);\nselect pg_sleep(0.2);\ninsert into once (id) values (1);",
		"0002-index.sql": "-- no-transaction\ncreate index concurrently if not exists once_by_id on once (id);",
		"0003-again.sql": "insert into once (id) values (2);",
	});
	const { url, sql } = await emptyDatabase();
	const applied = await soon("four runs", Promise.all([1, 2, 3, 4].map(() => run(url, dir))));
	assert.deepEqual(
		applied.toSorted((left, right) => left - right),
		[0, 0, 0, 3],
	);
	assert.deepEqual(
		(await sql`select id from once order by id`).map((row) => row["id"]),
		[1, 2],
	);
});

void test("file names of another form are refused, other files are none of its business", async () => {
	for (const name of ["1-short.sql", "0001_underscore.sql", "0001-Upper.sql", "00001-long.sql", "0001.sql"]) {
		const dir = await files({ [name]: "select 1;" });
		await assert.rejects(readMigrations(dir), (error: Error) => error.message.includes(`"${name}"`) && /NNNN/.test(error.message));
	}
	const dir = await files({ "0001-one.sql": "select 1;", "README.md": "", "schema.sql": "garbage" });
	assert.deepEqual(
		(await readMigrations(dir)).map(({ number, name }) => `${number} ${name}`),
		["1 one"],
	);
});

function run(url: string, dir: string): Promise<number> {
	return migrate({ directUrl: new Secret(url), dir, log: silentLog });
}

async function files(contents: Readonly<Record<string, string>>): Promise<string> {
	const dir = await mkdtemp(join(tmpdir(), "muster-migrations-"));
	cleanUps.push(() => rm(dir, { recursive: true, force: true }));
	for (const [name, text] of Object.entries(contents)) await writeFile(join(dir, name), text);
	return dir;
}

/** A database without any table, dropped after the test. */
async function emptyDatabase(): Promise<{ readonly url: string; readonly sql: ReturnType<typeof connect> }> {
	const name = `${new URL(host.url).pathname.slice(1)}_${++made}`;
	await host.db.sql.unsafe(`create database ${name}`);
	const url = inDatabase(host.url, name);
	const sql = connect(new Secret(url), 1, {});
	cleanUps.push(async () => {
		await sql.end({ timeout: 1 });
		await host.db.sql.unsafe(`drop database ${name} with (force)`);
	});
	return { url, sql };
}

async function ledger(sql: ReturnType<typeof connect>): Promise<string[]> {
	return (await sql`select number, name from muster_migrations order by number`).map((row) => `${row["number"]} ${row["name"]}`);
}

async function exists(sql: ReturnType<typeof connect>, table: string): Promise<boolean> {
	return (await sql`select to_regclass(${table}) is not null as there`)[0]?.["there"] === true;
}
