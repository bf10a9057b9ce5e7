/**
 * Every statement of every store, as the server itself sends it: the whole schema is walked as its owner walks it, on a database where the
 * planner reads a table from end to end only when no index can serve. What is added to the schema is walked too, so no statement is forgotten.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, openDb } from "../../src/db/client.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { startFakeHeadscale } from "../support/fakes/headscale.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { startMuster } from "../support/muster.ts";
import { until } from "../support/until.ts";
import { openReceiver, type Receiver } from "../unit/webhooks/receiver.ts";
import { hex } from "../support/pipeline.ts";
import { type Bench, enroll, heartbeat, newSite } from "./support.ts";
import { casesOf, forEachOf, type Walk } from "./tenant-walk-cases.ts";
import { ask, must, newOwner, newShared, newStranger, type Owner, walkEnv } from "./tenant-walk-owner.ts";
import { fieldsOf, introspect } from "./tenant-walk-schema.ts";
import { belongingsOf, notWalked } from "./tenant-walk-values.ts";

/** Tables that stay as small as what people set up by hand. */
const small = new Set(["muster_migrations", "tenants", "auto_enrollment"]);

const mesh = await startFakeHeadscale("0.28.0");
const opened: { database?: TestDatabase; receiver?: Receiver } = {};
beforeAll(async () => {
	const database = await testDatabase();
	opened.database = database;
	opened.receiver = await openReceiver();
	const sql = connect(new Secret(database.url), 1, { applicationName: "arranging" });
	await sql.unsafe(`alter database ${new URL(database.url).pathname.slice(1)} set enable_seqscan = off`);
	await sql.end();
}, 60_000);
afterAll(async () => {
	await opened.receiver?.close();
	await opened.database?.drop();
	await mesh.stop();
});

/** How often each table was read from end to end, by sessions that have gone: those that are there have not told yet. */
async function sequentialScans(): Promise<Map<string, number>> {
	const { url } = there().database;
	const watching = connect(new Secret(url), 1, { applicationName: "watching" });
	try {
		await until("every other session has gone", async () => {
			const others =
				await watching`select from pg_stat_activity where datname = current_database() and application_name in ('muster', 'arranging')`;
			return others.length === 0;
		});
		const rows = await watching`select relname, seq_scan::int4 as scans from pg_stat_user_tables order by relname`;
		return new Map(rows.map((row) => [String(row["relname"]), Number(row["scans"])]));
	} finally {
		await watching.end();
	}
}

function there(): { readonly database: TestDatabase; readonly receiver: Receiver } {
	const { database, receiver } = opened;
	if (database === undefined || receiver === undefined) throw new Error("Nothing has started");
	return { database, receiver };
}

/** A server until `work` is done, with a look into its tables that ends with it. */
async function withServer<T>(work: (bench: Bench) => Promise<T>): Promise<T> {
	const { url } = there().database;
	const db = openDb({ url: new Secret(url), directUrl: new Secret(url), log: silentLog, applicationName: "arranging" });
	const server = await startMuster({ databaseUrl: url, env: { MUSTER_TRUSTED_PROXIES: "127.0.0.1/32", ...walkEnv(mesh) } });
	try {
		return await work({ server, database: { ...there().database, db } });
	} finally {
		await server.stop();
		await db.close(1_000);
	}
}

test("no statement that the server sends reads a growing table from end to end: all of the schema, and its housekeeping (G7)", async () => {
	const shared = newShared();
	// Arranged first, since the tests' own look into the tables is none of the server's.
	const { owner, cases } = await withServer(async (bench) => {
		const { server } = bench;
		const owner: Owner = await newOwner(bench, shared, there().receiver, mesh);
		const asker = await newStranger(server, shared);
		const schema = await introspect(server, asker.token);
		const lists = fieldsOf(schema, "query").flatMap(({ name, type }) => (String(type).endsWith("Connection!") ? [name] : []));
		const its = await belongingsOf(bench, owner, shared, lists);
		const typenames = new Map<string, string>();
		await forEachOf(its.ids, async (id) => {
			const { node } = await must(server, owner, "query ($id: ID!) { node(id: $id) { __typename } }", { id });
			if (node !== null) typenames.set(id, String(node.__typename));
		});
		const cases = (["query", "mutation"] as const).flatMap((operation) => {
			const walk: Walk = { schema, operation, its, asker: owner, typenames };
			const fields = fieldsOf(schema, operation).filter(({ name }) => !notWalked[operation].includes(name));
			return fields.flatMap((field) => casesOf(walk, field));
		});
		return { owner, cases };
	});
	expect(cases.length).toBeGreaterThan(200);
	const before = await sequentialScans();
	await withServer(async ({ server }) => {
		const { siteCode, key } = await newSite(server);
		const worker = { name: "robot", machineUid: `uid-${hex(12)}` };
		for (const enrollmentId of [hex(16), hex(16)]) {
			const { data } = await enroll(server, { enrollmentId, credential: { siteKey: { siteCode, key } }, worker });
			await heartbeat(server, data.enroll, { load1: 1 });
		}
		await forEachOf(cases, async ({ document, variables }) => void (await ask(server, owner, document, variables)));
	});
	const after = await sequentialScans();
	expect([...after.keys()].filter((table) => !small.has(table) && after.get(table) !== before.get(table))).toEqual([]);
}, 120_000);

test("a statement that no index serves is seen", async () => {
	const before = await sequentialScans();
	const { url } = there().database;
	const sql = connect(new Secret(url), 1, { applicationName: "arranging" });
	await sql`select id, name from workers where version = 'x'`;
	await sql.end();
	expect((await sequentialScans()).get("workers")).toBe(Number(before.get("workers")) + 1);
}, 60_000);
