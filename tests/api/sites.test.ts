import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { asAdmin, enrollMutation, graphql, type Muster, startMuster } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";

const createSite = "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id code name enrollmentPolicy } } }";
const createFleet = "mutation ($input: CreateFleetInput!) { createFleet(input: $input) { fleet { id name site { code } } } }";
const rotate =
	"mutation ($siteCode: String!, $graceSeconds: Int) { rotateSiteKey(siteCode: $siteCode, graceSeconds: $graceSeconds) { secret key { version fingerprint } } }";

describe.each(runtimeNames)("sites on %s", (runtime) => {
	let database: TestDatabase;
	let muster: Muster;
	beforeAll(async () => {
		database = await testDatabase();
		muster = await startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_EXTERNAL_WORKERS: "off" } });
	});
	afterAll(async () => {
		await muster.stop();
		await database.drop();
	});
	const admin = (query: string, variables: object) => graphql(muster, query, variables, { authorization: `Bearer ${muster.adminToken}` });

	test("S1: a site's code is unique in its tenant: the second is a CONFLICT that names the code", async () => {
		expect((await admin(createSite, { input: { code: "berlin" } })).data.createSite.site).toMatchObject({
			code: "berlin",
			name: "berlin",
			enrollmentPolicy: "AUTO_APPROVE",
		});
		const second = await admin(createSite, { input: { code: "berlin" } });
		expect(second.errors[0]).toMatchObject({ extensions: { code: "CONFLICT", fields: ["code"] } });
		expect(second.errors[0]?.message).toContain('"berlin"');
	});

	test("bad input names each field, its value and the rule, and nothing is made", async () => {
		const reply = await admin(createSite, { input: { code: "no spaces", workerNamePattern: "^(a+)+$" } });
		expect(reply.errors[0]).toMatchObject({ extensions: { code: "BAD_USER_INPUT", fields: ["code", "workerNamePattern"] } });
		expect(reply.errors[0]?.message).toContain('"no spaces"');
		const { sites } = await asAdmin(muster, "{ sites { nodes { code } } }");
		expect(sites.nodes.map(({ code }: { code: string }) => code)).not.toContain("no spaces");
	});

	test("a fleet belongs to a site of the tenant and its name is unique there", async () => {
		await admin(createSite, { input: { code: "with-fleets" } });
		expect((await admin(createFleet, { input: { siteCode: "with-fleets", name: "cranes" } })).data.createFleet.fleet).toMatchObject({
			name: "cranes",
			site: { code: "with-fleets" },
		});
		expect((await admin(createFleet, { input: { siteCode: "with-fleets", name: "cranes" } })).errors[0]?.extensions?.code).toBe("CONFLICT");
		expect((await admin(createFleet, { input: { siteCode: "nowhere", name: "cranes" } })).errors[0]?.extensions?.code).toBe("NOT_FOUND");
	});

	test("S2: versions only grow, the fingerprint is safe to show, and the secret is shown once", async () => {
		await admin(createSite, { input: { code: "turning" } });
		expect((await admin('{ site(code: "turning") { key { id } } }', {})).data.site.key).toBeNull();
		const rotated = [await admin(rotate, { siteCode: "turning" }), await admin(rotate, { siteCode: "turning", graceSeconds: 60 })].map(
			({ data }) => data.rotateSiteKey,
		);
		expect(rotated.map(({ key }) => key.version)).toEqual([1, 2]);
		for (const { key, secret } of rotated) {
			expect(key.fingerprint).toMatch(/^v[12] \([0-9A-F]{4}\)$/);
			expect(secret).toMatch(/^mst_site_[0-9a-f]{12}_[0-9a-f]{72}$/);
		}
		const { site } = await asAdmin(muster, '{ site(code: "turning") { key { version fingerprint graceEndsAt } } }');
		expect(site.key).toEqual({ version: 2, fingerprint: rotated[1].key.fingerprint, graceEndsAt: null });
		const stored = await database.db.sql`select verifier from keys where kind = 'site'`;
		for (const { verifier } of stored) expect(String(verifier)).toStartWith("$argon2id$");
		expect((await admin(rotate, { siteCode: "turning", graceSeconds: -1 })).errors[0]?.extensions?.code).toBe("BAD_USER_INPUT");
	});

	test("A11: with MUSTER_EXTERNAL_WORKERS=off every enrollment answers enrollment_disabled with 400, and is recorded", async () => {
		await admin(createSite, { input: { code: "closed" } });
		const { secret } = (await admin(rotate, { siteCode: "closed" })).data.rotateSiteKey;
		const name = `late-${randomBytes(4).toString("hex")}`;
		const input = {
			enrollmentId: randomBytes(16).toString("hex"),
			worker: { name, machineUid: `uid-${name}` },
			credential: { siteKey: { siteCode: "closed", key: secret } },
		};
		const reply = await graphql(muster, enrollMutation, { input });
		expect([reply.status, reply.data.enroll.reason]).toEqual([400, "enrollment_disabled"]);
		const { enrollmentAttempts } = await asAdmin(
			muster,
			'{ enrollmentAttempts(siteCode: "closed", reason: enrollment_disabled) { nodes { claimedName accepted } } }',
		);
		expect(enrollmentAttempts.nodes).toEqual([{ claimedName: name, accepted: false }]);
	});

	test("pages walk a list to its end without gap or double, and a page past the limit is refused", async () => {
		for (let index = 0; index < 7; index++) await admin(createSite, { input: { code: `page-${index}` } });
		const all: string[] = [];
		let after: string | null = null;
		do {
			const { sites }: { sites: { totalCount: number; nodes: { code: string }[]; pageInfo: { hasNextPage: boolean; endCursor: string } } } =
				await asAdmin(
					muster,
					"query ($after: String) { sites(first: 3, after: $after) { totalCount nodes { code } pageInfo { hasNextPage endCursor } } }",
					{ after },
				);
			all.push(...sites.nodes.map(({ code }) => code));
			after = sites.pageInfo.hasNextPage ? sites.pageInfo.endCursor : null;
			if (after === null) expect(all.length).toBe(sites.totalCount);
		} while (after !== null);
		expect(new Set(all).size).toBe(all.length);
		expect(all.slice(0, 2)).toEqual(["page-6", "page-5"]);
		expect((await admin("{ sites(first: 201) { totalCount } }", {})).errors[0]?.message).toContain("1 to 200");
		expect((await admin('{ sites(after: "nonsense!") { totalCount } }', {})).errors[0]?.extensions?.code).toBe("BAD_USER_INPUT");
	});
});
