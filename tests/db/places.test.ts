/** Where unproven claims belong, many at once (S10, A17): each gets its own answer, in order. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { namedPlaces } from "../../src/enrollment/place-store.ts";
import type { ClaimedPlace } from "../../src/enrollment/place.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

let database: TestDatabase;
before(async () => {
	database = await testDatabase();
	await database.db.sql.unsafe(`
		delete from keys;
		insert into sites (id, tenant_id, code, name, enrollment_policy, created_at) select 'site_a', id, 'berlin', 'b', 'AUTO_APPROVE', now() from tenants;
		insert into keys (id, tenant_id, kind, site_id, name, selector, verifier, hint, version, active, created_at)
			select 'key_a', id, 'enroll', 'site_a', 'k', 'known0000000', 'v', 'abcd', 1, true, now() from tenants`);
});
after(() => database.drop());

const claims: readonly ClaimedPlace[] = [
	{ kind: "selector", selector: "unknown00000" },
	{ kind: "named", tenant: "default", siteCode: "berlin" },
	{ kind: "named", tenant: "default", siteCode: "nowhere" },
	{ kind: "selector", selector: "known0000000" },
	{ kind: "nowhere" },
	{ kind: "named", tenant: "elsewhere", siteCode: "berlin" },
	{ kind: "named", tenant: "default", siteCode: null },
	{ kind: "selector", selector: "known0000000" },
];

const none = { tenantId: null, siteId: null, hostId: null, keyId: null };

async function defaultTenant(): Promise<string> {
	const [tenant] = await database.db.sql`select id from tenants where slug = 'default'`;
	return String(tenant?.["id"]);
}

const expected = (tenantId: string, ofNothing: string | null) => [
	{ ...none, tenantId: ofNothing },
	{ ...none, tenantId, siteId: "site_a" },
	{ ...none, tenantId },
	{ tenantId, siteId: "site_a", hostId: null, keyId: "key_a" },
	{ ...none, tenantId: ofNothing },
	none,
	{ ...none, tenantId },
	{ tenantId, siteId: "site_a", hostId: null, keyId: "key_a" },
];

void test("S10: of one tenant, what names nothing is the tenant's; every claim gets its own place, in order", async () => {
	const tenantId = await defaultTenant();
	assert.deepEqual(await namedPlaces(database.db.sql, claims), expected(tenantId, tenantId));
});

void test("S10: of several tenants, what names nothing is nobody's: none sees another's mistyped keys", async () => {
	const tenantId = await defaultTenant();
	await database.db.sql`insert into tenants (id, slug, name, created_at) values ('ten_other', 'other', 'other', now())`;
	assert.deepEqual(await namedPlaces(database.db.sql, claims), expected(tenantId, null));
	assert.deepEqual(await namedPlaces(database.db.sql, claims.slice(0, 1)), [none]);
});
