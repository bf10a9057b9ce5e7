/** What the tests of the API share: a real server on a database of its own, and short words for what they ask. */
import { afterAll, beforeAll, describe } from "bun:test";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { asAdmin, enrollMutation, type GraphQLReply, graphql, type Muster, startMuster } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { type RuntimeName, runtimeNames } from "../support/runtimes.ts";

/** A server and its database, there from beforeAll to afterAll. */
export interface Bench {
	readonly server: Muster;
	readonly database: TestDatabase;
}

/** The suite once a runtime, each with a server and database of its own. X-Forwarded-For is believed, so that each test can be a source of its own. */
export function onEachRuntime(
	title: string,
	suite: (bench: Bench, runtime: RuntimeName) => void,
	env: Readonly<Record<string, string>> = {},
): void {
	describe.each(runtimeNames)(`${title} on %s`, (runtime) => {
		const opened: { server?: Muster; database?: TestDatabase } = {};
		beforeAll(async () => {
			opened.database = await testDatabase();
			opened.server = await startMuster({
				runtime,
				databaseUrl: opened.database.url,
				env: { MUSTER_TRUSTED_PROXIES: "127.0.0.1/32", ...env },
			});
		});
		const there = <T>(what: T | undefined): T => {
			if (what === undefined) throw new Error("The server has not started");
			return what;
		};
		suite(
			{
				get server() {
					return there(opened.server);
				},
				get database() {
					return there(opened.database);
				},
			},
			runtime,
		);
		// After the suite's own: what it opened on the database is closed first.
		afterAll(async () => {
			await opened.server?.stop();
			await opened.database?.drop();
		});
	});
}

/** An address that no other test uses (RFC 3849), so that no limit of another test is met: of a /64 of its own, which is one source. */
export function newSource(): string {
	// No group begins with 0: the server writes addresses in their short form.
	const group = () => `a${hex(2).slice(1)}`;
	return `2001:db8:${group()}:${group()}:${group()}::1`;
}

/** The document that `enroll` asks with: the tests of the fast lane put the worker's own here. */
export const asked = { document: enrollMutation };

/** One enroll request, from a source of its own unless given. */
export function enroll(server: { readonly url: string }, input: unknown, source = newSource()): Promise<GraphQLReply> {
	return graphql(server, asked.document, { input }, { "x-forwarded-for": source });
}

export interface SiteWithKey {
	readonly siteCode: string;
	readonly key: string;
}

/** A new site of the default tenant with its first key, by the API. */
export async function newSite(server: Muster, more: object = {}): Promise<SiteWithKey> {
	const siteCode = `s-${hex(6)}`;
	await asAdmin(server, "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id } } }", {
		input: { code: siteCode, ...more },
	});
	return { siteCode, key: await rotate(server, siteCode) };
}

/** Rotates and returns the new key. */
export async function rotate(server: Muster, siteCode: string, graceSeconds: number | null = null): Promise<string> {
	const query =
		"mutation ($siteCode: String!, $graceSeconds: Int) { rotateSiteKey(siteCode: $siteCode, graceSeconds: $graceSeconds) { secret } }";
	const { rotateSiteKey } = await asAdmin(server, query, { siteCode, graceSeconds });
	return String(rotateSiteKey.secret);
}

/** A heartbeat as a worker. */
export function heartbeat(
	server: { readonly url: string },
	{ workerId, apiKey }: { workerId: string; apiKey: string },
	input?: Readonly<Record<string, unknown>>,
): Promise<GraphQLReply> {
	const headers = { authorization: `Bearer ${apiKey}`, "muster-worker-id": workerId };
	return graphql(server, "mutation ($input: HeartbeatInput) { heartbeat(input: $input) { nextInSeconds } }", { input }, headers);
}

/** The value of one series on the metrics page; 0 when it is not there. */
export async function metric(server: Muster, series: string): Promise<number> {
	const page = await (await fetch(server.metricsUrl)).text();
	const line = page.split("\n").find((text) => text.startsWith(`${series} `));
	return Number(line?.slice(series.length + 1) ?? 0);
}

/** An operation on workers by id. */
export function actOn(server: Muster, mutation: "approveWorker" | "rejectWorker" | "revokeWorker", id: string) {
	return asAdmin(server, `mutation ($id: ID!) { ${mutation}(id: $id) { worker { id state } } }`, { id });
}
