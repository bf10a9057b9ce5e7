import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { watchGrowth } from "../../src/db/growth.ts";
import { isLostWrite } from "../../src/db/faults.ts";
import { alone, exactly, Miscounted, together } from "../../src/db/together.ts";
import { silentLog } from "../../src/lib/log.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
	await database.db.sql`create table mothers (id int primary key)`;
	await database.db.sql`create table daughters (id int primary key, mother int references mothers (id))`;
});
after(() => database.drop());

void test("what is written at the same time is one statement, its rows and their references are all there (G7)", async () => {
	const { db } = database;
	const statements = await db.tx((tx) =>
		together(tx, async (joined) => {
			const [mothers, daughters] = await Promise.all([
				joined`insert into mothers (id) select n from generate_series(1, ${3}::int) n on conflict do nothing`,
				joined`insert into daughters (id, mother) select n, n from generate_series(1, ${3}::int) n`,
				joined`select pg_notify(${"muster_test"}, '')`,
			]);
			assert.equal(mothers.count, 3);
			assert.equal(daughters.count, 3);
			// One command wrote both: they carry the same command id.
			return tx`select distinct cmin::text from mothers union select distinct cmin::text from daughters`;
		}),
	);
	assert.equal(statements.length, 1);
	assert.equal((await db.sql`select from daughters join mothers on mothers.id = mother`).length, 3);
});

void test("a second write of one table sees the first, and what comes after an answer comes after it (G5)", async () => {
	const { db } = database;
	await db.tx((tx) =>
		together(tx, async (joined) => {
			await Promise.all([
				joined`insert into mothers (id) values (10)`,
				joined`update mothers set id = 11 where id = 10`,
				joined`insert into daughters (id, mother) values (11, 11)`,
			]);
			await joined`delete from daughters where id = 11`;
		}),
	);
	assert.deepEqual([...(await db.sql`select id from mothers where id > 9`)], [{ id: 11 }]);
	assert.equal((await db.sql`select from daughters where id = 11`).length, 0);
});

void test("when one part fails, every part is rejected and nothing is written (G6)", async () => {
	const { db } = database;
	const outcomes: PromiseSettledResult<unknown>[] = [];
	await assert.rejects(
		db.tx((tx) =>
			together(tx, async (joined) => {
				outcomes.push(
					...(await Promise.allSettled([
						joined`insert into mothers (id) values (20)`,
						joined`insert into daughters (id, mother) values (20, 99)`,
					])),
				);
			}),
		),
		/daughters_mother_fkey/,
	);
	assert.deepEqual(
		outcomes.map(({ status }) => status),
		["rejected", "rejected"],
	);
	assert.equal((await db.sql`select from mothers where id = 20`).length, 0);
});

void test("a table that this process filled has statistics before autovacuum comes by, so no plan goes on taking it for empty (G7)", async () => {
	const { db } = database;
	const growth = watchGrowth({ db, log: silentLog }, ["mothers", "no such table"]);
	await db.sql`insert into mothers (id) select n from generate_series(100, 299) n`;
	growth.grew(63);
	await growth.settled();
	const known = async () => (await db.sql`select reltuples::int as rows from pg_class where relname = 'mothers'`)[0]?.["rows"];
	assert.equal(await known(), -1);
	growth.grew(137);
	await growth.settled();
	assert.ok((await known()) >= 200);
});

void test("what is written alone is one statement, committed when it is answered (G6)", async () => {
	const { db } = database;
	await alone(db.sql, async (joined) => {
		await Promise.all([
			joined`insert into mothers (id) values (40), (41)`,
			joined`insert into daughters (id, mother) values (40, 40)`,
			joined`select pg_notify(${"muster_test"}, '')`,
		]);
	});
	const commands = await db.sql`select xmin::text from mothers where id in (40, 41) union select xmin::text from daughters where id = 40`;
	assert.equal(commands.length, 1);
});

void test("what cannot be one statement is not written alone, not even its first part (G6)", async () => {
	const { db } = database;
	const twice = alone(db.sql, async (joined) => {
		await Promise.all([joined`insert into mothers (id) values (50)`, joined`update mothers set id = 51 where id = 50`]);
	});
	await assert.rejects(twice, /cannot be one statement/);
	const later = alone(db.sql, async (joined) => {
		await Promise.all([joined`insert into mothers (id) values (52)`, joined`insert into daughters (id, mother) values (52, 52)`]);
		await joined`insert into mothers (id) values (53)`;
	});
	await assert.rejects(later, /cannot be one statement/);
	assert.deepEqual([...(await db.sql`select id from mothers where id between 50 and 59`)], [{ id: 52 }]);
});

void test("a write that must change so many rows and changes others loses all that was written with it (B4)", async () => {
	const { db } = database;
	const lost = alone(db.sql, async (joined) => {
		await Promise.all([
			joined`insert into mothers (id) values (60)`,
			exactly(joined`update daughters set mother = 60 where id = 999`, 1, "daughters"),
		]);
	});
	await assert.rejects(lost, (error) => isLostWrite(error) && /0 rows of daughters/.test(String(error)));
	assert.equal((await db.sql`select from mothers where id = 60`).length, 0);
});

void test("the same of a write that was joined to no other (B4)", async () => {
	const { db } = database;
	const lost = db.tx((tx) =>
		together(tx, async (joined) => {
			await joined`insert into mothers (id) values (70)`;
			await exactly(joined`update daughters set mother = 70 where id = 999`, 1, "daughters");
		}),
	);
	await assert.rejects(lost, (error) => error instanceof Miscounted && isLostWrite(error));
	assert.equal((await db.sql`select from mothers where id = 70`).length, 0);
	await db.tx((tx) => together(tx, async (joined) => void (await exactly(joined`insert into mothers (id) values (71)`, 1, "mothers"))));
	assert.equal((await db.sql`select from mothers where id = 71`).length, 1);
});
