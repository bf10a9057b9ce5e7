import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { packed, recordset } from "../../src/db/recordset.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
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
