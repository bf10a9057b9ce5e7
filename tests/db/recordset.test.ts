import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { packed, recordset } from "../../src/db/recordset.ts";
import { sharedRows } from "../../src/db/shared-rows.ts";
import { alone } from "../../src/db/together.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
	const kept = "(name text, good boolean, size int, seq bigint, load double precision, at timestamptz, labels jsonb)";
	await database.db.sql.unsafe(`create table firsts ${kept}; create table seconds ${kept}; create table thirds ${kept}`);
});
after(() => database.drop());

const columns = { name: "text", good: "boolean", size: "int", seq: "bigint", load: "float", at: "time", labels: "jsonb" } as const;

interface Row {
	readonly name: string | null;
	readonly good: boolean | null;
	readonly size: number | null;
	readonly seq: number | null;
	readonly load: number | null;
	readonly at: number | null;
	readonly labels: object | null;
}

const one: Row = {
	name: 'a "b"',
	good: false,
	size: 0,
	seq: 9_007_199_254_740_991,
	load: 0.5,
	at: 1_800_000_000_123,
	labels: { k: [1, null] },
};
const none: Row = { name: null, good: null, size: null, seq: null, load: null, at: null, labels: null };

async function back(rows: readonly Row[]) {
	const { sql } = database.db;
	return [...(await sql`select name, good, size, seq, load, at, labels from ${recordset(sql, rows, columns)} as r`)];
}

const read = ({ seq, at, ...rest }: Row) => ({ ...rest, seq: seq === null ? null : BigInt(seq), at: at === null ? null : new Date(at) });

const lists: Readonly<Record<string, readonly Row[]>> = {
	"no row": [],
	"one row": [one],
	"one row of nothing": [none],
	"rows that are alike": [one, one, one],
	"rows that have nothing in common": [one, { name: "", good: true, size: -1, seq: 0, load: -1e300, at: 0, labels: {} }],
	"rows of which one has nothing": [one, none, one],
	"rows alike but for what one lacks": [one, { ...one, name: null }, { ...one, labels: null }],
};

for (const [what, rows] of Object.entries(lists)) {
	void test(`${what}: every column is read back as it was given, false, zero and nothing included (G6)`, async () => {
		assert.deepEqual(await back(rows), rows.map(read));
	});
}

for (const [what, rows] of Object.entries(lists)) {
	void test(`${what}: written alone with another table of the same rows and one that is longer, every column of each is as it was given (G6)`, async () => {
		const { sql } = database.db;
		const swapped = rows.map((row) => ({ ...row, name: row.labels === null ? "none" : row.name, size: 7 }));
		const longer = [...rows, one];
		await sql`truncate firsts, seconds, thirds`;
		await alone(sql, async (tx) => {
			await Promise.all([
				tx`insert into firsts select * from ${recordset(tx, rows, columns)} as r`,
				tx`insert into seconds select * from ${recordset(tx, swapped, columns)} as r`,
				tx`insert into thirds select * from ${recordset(tx, longer, columns)} as r`,
			]);
		});
		assert.deepEqual([...(await sql`select * from firsts`)], rows.map(read));
		assert.deepEqual([...(await sql`select * from seconds`)], swapped.map(read));
		assert.deepEqual([...(await sql`select * from thirds`)], longer.map(read));
	});
}

void test("one list that is written alone is as it was given", async () => {
	const { sql } = database.db;
	await sql`truncate firsts`;
	await alone(sql, async (tx) => {
		await tx`insert into firsts select * from ${recordset(tx, [one, none], columns)} as r`;
	});
	assert.deepEqual([...(await sql`select * from firsts`)], [one, none].map(read));
});

void test("what tables of equal length have in common is sent once, row by row; a longer one goes by itself", () => {
	const shared = sharedRows();
	assert.equal(shared.rows(), undefined);
	const workers = [
		{ id: "w1", name: "a", site: "s" },
		{ id: "w2", name: "a", site: "s" },
	];
	const hosts = [
		{ id: "h1", worker: "w1", name: "b" },
		{ id: "h2", worker: "w2", name: "c" },
	];
	const others = [
		{ worker: "w1", twin: "w1" },
		{ worker: "w3", twin: "w2" },
	];
	assert.deepEqual(shared.take(workers, ["id", "name", "site"]), { common: [null, "a", "s"], places: [0, null, null] });
	assert.deepEqual(shared.take(hosts, ["id", "worker", "name"]), { common: [null, null, null], places: [1, 0, 2] });
	assert.deepEqual(shared.take(others, ["worker", "twin"]), { common: [null, null], places: [3, 0] });
	assert.equal(shared.take([...hosts, ...hosts], ["id"]), undefined);
	assert.deepEqual(shared.rows(), [
		["w1", "h1", "b", "w1"],
		["w2", "h2", "c", "w3"],
	]);
});

void test("what all rows have in common is sent once, and only that", () => {
	const rows = [
		{ tenant: "t", name: "a", site: null },
		{ tenant: "t", name: "b", site: null },
	];
	assert.deepEqual(packed(rows, ["tenant", "name", "site"]), {
		common: ["t", null, null],
		rest: [
			[null, "a", null],
			[null, "b", null],
		],
	});
});
