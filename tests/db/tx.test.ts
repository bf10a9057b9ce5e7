import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openDb } from "../../src/db/client.ts";
import type { Db, Tx } from "../../src/db/port.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { soon, until } from "../support/until.ts";

let database: TestDatabase;
let db: Db;
before(async () => {
	database = await testDatabase();
	({ db } = database);
	await db.sql`create table counters (name text primary key, value integer not null)`;
});
after(() => database.drop());

void test("G5 of two serializable transactions that cannot both be, one runs again and sees the other", async () => {
	const [left, right] = await counters("serial-left", "serial-right");
	const met = meeting(2);
	let works = 0;
	// Each writes the sum of both: alone in the world each would write 1, one after the other 1 and 2.
	const addSum = (target: string) =>
		db.tx(
			async (tx) => {
				works++;
				const rows = await tx`select coalesce(sum(value), 0)::int + 1 as next from counters where name in (${left}, ${right})`;
				await met();
				await tx`update counters set value = ${Number(rows[0]?.["next"])} where name = ${target}`;
			},
			{ isolation: "serializable" },
		);
	await soon("both transactions", Promise.all([addSum(left), addSum(right)]));
	assert.equal(works, 3, "exactly one was run again");
	assert.deepEqual(new Set([await value(left), await value(right)]), new Set([1, 2]));
});

void test("of two transactions that wait for each other one is begun anew, and both are done once", async () => {
	const [left, right] = await counters("dead-left", "dead-right");
	const met = meeting(2);
	let works = 0;
	const both = (first: string, second: string) =>
		db.tx(async (tx) => {
			works++;
			await tx`update counters set value = value + 1 where name = ${first}`;
			await met();
			await tx`update counters set value = value + 1 where name = ${second}`;
		});
	await soon("both transactions", Promise.all([both(left, right), both(right, left)]));
	assert.equal(works, 3, "exactly one was run again");
	assert.deepEqual([await value(left), await value(right)], [2, 2]);
});

void test("a conflict that never ends goes up after the retries asked for", async () => {
	let works = 0;
	const hopeless = db.tx(
		async (tx) => {
			works++;
			await tx`do $$ begin raise exception 'again' using errcode = '40001'; end $$`;
		},
		{ retries: 2 },
	);
	await assert.rejects(hopeless, { code: "40001" });
	assert.equal(works, 3);
});

void test("what throws in work leaves nothing of the transaction and goes up unchanged, without a second try", async () => {
	const [name] = await counters("thrown");
	const reason = new Error("no");
	let works = 0;
	const failing = db.tx(async (tx) => {
		works++;
		await tx`update counters set value = 7 where name = ${name}`;
		throw reason;
	});
	await assert.rejects(failing, (error) => error === reason);
	assert.equal(works, 1);
	assert.equal(await value(name), 0);
});

void test("a statement that failed takes its transaction with it, also when work catches the error", async () => {
	const [name] = await counters("caught");
	const failing = db.tx(async (tx) => {
		await tx`update counters set value = 7 where name = ${name}`;
		await Promise.resolve(tx`select 1 / 0`).catch(() => {});
	});
	await assert.rejects(failing);
	assert.equal(await value(name), 0);
});

void test("a statement that outlives its transaction is refused and written nowhere", async () => {
	const [name] = await counters("late");
	let kept: Tx | undefined;
	await db.tx(async (tx) => {
		kept = tx;
		await tx`update counters set value = 1 where name = ${name}`;
	});
	const late = kept;
	assert.ok(late !== undefined);
	await assert.rejects(soon("the refusal", Promise.resolve(late`update counters set value = 2 where name = ${name}`)));
	assert.equal(await value(name), 1);
});

void test("many more transactions than there are connections all finish, each once", async () => {
	const [name] = await counters("crowd");
	const crowd = Array.from({ length: 100 }, () =>
		db.tx(async (tx) => {
			const rows = await tx`select value from counters where name = ${name} for update`;
			await tx`update counters set value = ${Number(rows[0]?.["value"]) + 1} where name = ${name}`;
		}),
	);
	await soon("all transactions", Promise.all(crowd));
	assert.equal(await value(name), 100);
});

void test("single statements get through while every transaction's connection is taken", async () => {
	const url = new Secret(database.url);
	const small = openDb({ url, directUrl: url, log: silentLog, poolSize: 1, txPoolSize: 2 });
	let release = () => {};
	const held = new Promise<void>((resolve) => {
		release = resolve;
	});
	let inside = 0;
	const holders = [1, 2, 3].map(() =>
		small.tx(async (tx) => {
			await tx`select 1`;
			inside++;
			await held;
		}),
	);
	try {
		await until("the holders", () => inside === 2);
		const rows = await soon("a single statement", Promise.resolve(small.sql`select 1 as one`));
		assert.equal(rows[0]?.["one"], 1);
		assert.equal(inside, 2, "the third transaction waits for a connection");
	} finally {
		release();
		await Promise.all(holders);
		await small.close(1_000);
	}
	assert.equal(inside, 3);
});

void test("a connection lost while commit is under way goes up as it is: the work is not run again", async () => {
	// A deferred trigger runs inside of the commit and waits for a lock that this test holds: the commit is cut for certain.
	await db.sql`create table commits (id integer)`;
	await db.sql.unsafe(`
		create function slow_commit() returns trigger language plpgsql as $$
		begin perform pg_advisory_xact_lock(4711); return null; end $$`);
	await db.sql`create constraint trigger slow_commit after insert on commits deferrable initially deferred
		for each row execute function slow_commit()`;
	const url = new Secret(database.url);
	const cut = openDb({ url, directUrl: url, log: silentLog, applicationName: "cut-in-commit" });
	let works = 0;
	let outcome: Promise<unknown> | undefined;
	try {
		await db.tx(async (tx) => {
			await tx`select pg_advisory_xact_lock(4711)`;
			outcome = cut
				.tx(async (inner) => {
					works++;
					await inner`insert into commits (id) values (1)`;
				})
				.then(
					() => "committed",
					(error: unknown) => error,
				);
			await until("the commit that waits", async () => {
				const rows = await db.sql`
					select pg_terminate_backend(pid) as done from pg_stat_activity
					where application_name = 'cut-in-commit' and datname = current_database() and wait_event_type = 'Lock' and query ilike 'commit%'`;
				return rows.length === 1;
			});
			assert.ok((await soon("the outcome", outcome ?? Promise.resolve())) instanceof Error);
		});
		assert.equal(works, 1);
		assert.equal((await db.sql`select id from commits`).length, 0);
	} finally {
		await cut.close(1_000);
	}
});

/** Makes counters at 0. */
async function counters<const Names extends readonly string[]>(...names: Names): Promise<Names> {
	for (const name of names) await db.sql`insert into counters (name, value) values (${name}, 0)`;
	return names;
}

async function value(name: string): Promise<number> {
	return Number((await db.sql`select value from counters where name = ${name}`)[0]?.["value"]);
}

/** Resolves for the first `parties` callers when all of them are there; later callers pass. */
function meeting(parties: number): () => Promise<void> {
	let arrived = 0;
	let open = () => {};
	const all = new Promise<void>((resolve) => {
		open = resolve;
	});
	return () => {
		arrived++;
		if (arrived >= parties) open();
		return all;
	};
}
