import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Db } from "../../src/db/port.ts";
import { afterCommit, withAfterCommit } from "../../src/metrics/after-commit.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
let db: Db;
before(async () => {
	database = await testDatabase();
	db = withAfterCommit(database.db);
});
after(() => database.drop());

void test("what is counted in a transaction that is begun anew is counted once, and after it committed", async () => {
	let [works, counted, countedWithin] = [0, 0, 0];
	await db.tx(async (tx) => {
		works++;
		afterCommit(tx, () => counted++);
		countedWithin += counted;
		if (works === 1) await tx`do $$ begin raise exception 'again' using errcode = '40001'; end $$`;
	});
	assert.deepEqual({ works, counted, countedWithin }, { works: 2, counted: 1, countedWithin: 0 });
});

void test("what was rolled back is not counted", async () => {
	let counted = 0;
	const refused = db.tx(async (tx) => {
		afterCommit(tx, () => counted++);
		await tx`select 1`;
		throw new Error("no");
	});
	await assert.rejects(refused, /no/);
	assert.equal(counted, 0);
});
