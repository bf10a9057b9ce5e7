import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
});
after(() => database.drop());

test("a migrated database has the default tenant", async () => {
	const rows = await database.db.sql`select slug from tenants`;
	assert.equal(rows[0]?.["slug"], "default");
});
