import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { enrollDocument, heartbeatDocument } from "../../src/protocol/operations.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { failureOf } from "../support/failure.ts";
import { graphql, type Muster, startMuster } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { runtimeNames } from "../support/runtimes.ts";

describe.each(runtimeNames)("listening on %s", (runtime) => {
	let database: TestDatabase;
	let first: Muster;
	beforeAll(async () => {
		database = await testDatabase();
		first = await startMuster({ runtime, databaseUrl: database.url });
	});
	afterAll(async () => {
		await first.stop();
		await database.drop();
	});

	test("a second server on a taken port does not start beside the first: it names the address and the variable", async () => {
		const address = new URL(first.url).host;
		const failure = await failureOf(startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_LISTEN: address } }));
		expect(String(failure)).toContain(`Cannot listen on ${address}`);
		expect(String(failure)).toContain("set MUSTER_LISTEN to another address");
	});

	test("a metrics port that another program has is named with its own variable", async () => {
		const other = createServer();
		const port = await new Promise<number>((resolve) => {
			other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
		});
		try {
			const failure = await failureOf(
				startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_METRICS_LISTEN: `127.0.0.1:${port}` } }),
			);
			expect(String(failure)).toContain("set MUSTER_METRICS_LISTEN to another address");
		} finally {
			other.close();
		}
	});
});

describe.each(runtimeNames)("H5: with an API listener, the other one lets machines in and knows nothing else, on %s", (runtime) => {
	let database: TestDatabase;
	let server: Muster;
	let lan: { readonly url: string };
	const serverAddress = "100.64.0.1:7480";
	beforeAll(async () => {
		database = await testDatabase();
		const env = { MUSTER_API_LISTEN: "127.0.0.1:0", MUSTER_SERVER_ADDR: serverAddress };
		server = await startMuster({ runtime, databaseUrl: database.url, env });
		lan = { url: /--url (http\S+)/.exec(server.announcement)?.[1] ?? "" };
	});
	afterAll(async () => {
		await server.stop();
		await database.drop();
	});
	const bearer = () => ({ authorization: `Bearer ${server.adminToken}` });

	test("the announcement shows people the API listener, and machines the other", () => {
		expect(lan.url).toStartWith("http://127.0.0.1:");
		expect(lan.url).not.toBe(server.url);
	});

	test("a machine enrolls there, is told where the rest is, and reports there: here it cannot", async () => {
		const asAdmin = (query: string, variables: object) => graphql(server, query, variables, bearer());
		await asAdmin("mutation ($code: String!) { createSite(input: { code: $code }) { site { id } } }", { code: "lan" });
		const { data: rotated } = await asAdmin("mutation ($code: String!) { rotateSiteKey(siteCode: $code) { secret } }", { code: "lan" });
		const input = {
			enrollmentId: hex(16),
			credential: { siteKey: { siteCode: "lan", key: rotated.rotateSiteKey.secret } },
			worker: { name: "robot", machineUid: `uid-${hex(8)}` },
		};
		const { data } = await graphql(lan, enrollDocument, { input });
		expect(data.enroll).toMatchObject({ __typename: "Enrolled", serverAddress });
		const worker = { authorization: `Bearer ${data.enroll.apiKey}`, "muster-worker-id": String(data.enroll.workerId) };
		const beat = "mutation { heartbeat { nextInSeconds } }";
		expect((await graphql(lan, beat, {}, worker)).errors[0]?.extensions?.["code"]).toBe("WRONG_LISTENER");
		expect((await graphql(server, beat, {}, worker)).errors).toEqual([]);
	});

	const enroll = "enroll(input: $input) { __typename }";
	const head = "mutation M($input: EnrollInput!)";
	test.each([
		["a query", "{ tenant { id } }"],
		["another mutation", 'mutation { createSite(input: { code: "x" }) { site { id } } }'],
		["a subscription", "subscription { alert { id } }"],
		["introspection", "{ __schema { types { name } } }"],
		["the name of the root type", "mutation { __typename }"],
		["another field beside enroll", `${head} { ${enroll} heartbeat { nextInSeconds } }`],
		["enroll twice", `${head} { a: ${enroll} b: ${enroll} }`],
		["another field under the name of enroll", "mutation { enroll: heartbeat { nextInSeconds } }"],
		["a fragment", `${head} { ...F } fragment F on Mutation { ${enroll} heartbeat { nextInSeconds } }`],
		["a query of a field called enroll", "{ enroll }"],
		["the worker's own heartbeat, word for word", heartbeatDocument],
		["what is not in the schema", "{ nothing }"],
	])("it refuses %s, naming the listener to ask", async (_, query) => {
		for (const headers of [{}, bearer()]) {
			const reply = await graphql(lan, query, query === heartbeatDocument ? {} : { input: {} }, headers);
			expect(reply.status).toBe(403);
			expect(reply.data ?? null).toBeNull();
			expect(reply.errors.map(({ extensions }) => extensions?.["code"])).toEqual(["WRONG_LISTENER"]);
			expect(reply.errors[0]?.message).toContain(`(MUSTER_API_LISTEN) at ${serverAddress}`);
		}
	});

	test.each(["M", "Q"])("of two operations it runs neither, though the name chooses %s", async (operationName) => {
		const body = JSON.stringify({ query: `${head} { ${enroll} } query Q { tenant { id } }`, operationName, variables: { input: {} } });
		const reply = await fetch(`${lan.url}/graphql`, { method: "POST", headers: { "content-type": "application/json" }, body });
		expect([reply.status, await reply.text()]).toEqual([403, expect.stringContaining("WRONG_LISTENER")]);
	});

	test("what it refused is answered by the API listener all the same, and the other way round", async () => {
		const query = "{ tenant { slug } }";
		for (const [at, status] of [
			[lan, 403],
			[server, 200],
			[lan, 403],
		] as const)
			expect((await graphql(at, query, {}, bearer())).status).toBe(status);
	});

	test("it answers no query by GET, no page, no event stream and no batch", async () => {
		const ask = (path: string, init: RequestInit = {}) =>
			fetch(`${lan.url}${path}`, init).then(async (reply) => {
				await reply.text();
				return reply.status;
			});
		expect(await ask(`/graphql?query=${encodeURIComponent("{ tenant { id } }")}`)).toBe(403);
		expect(await ask("/graphql", { headers: { accept: "text/html" } })).toBe(403);
		expect(await ask("/graphiql/graphiql.js")).toBe(403);
		// The dashboard belongs to the API's listener.
		for (const path of ["/", "/assets/main-000000000000.js"]) expect([path, await ask(path)]).toEqual([path, 403]);
		const json = { "content-type": "application/json" };
		const stream = {
			method: "POST",
			headers: { ...json, accept: "text/event-stream" },
			body: JSON.stringify({ query: "subscription { alert { id } }" }),
		};
		const reply = await fetch(`${lan.url}/graphql`, stream);
		expect(await reply.text()).toContain("WRONG_LISTENER");
		expect(
			await ask("/graphql", { method: "POST", headers: json, body: JSON.stringify([{ query: "{ tenant { id } }" }]) }),
		).toBeGreaterThanOrEqual(400);
	});

	test("it opens no WebSocket", async () => {
		const socket = new WebSocket(`${lan.url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
		const outcome = await new Promise<string>((resolve) => {
			socket.onopen = () => resolve("open");
			socket.onclose = () => resolve("closed");
		});
		socket.close();
		expect(outcome).toBe("closed");
	});

	test("health and the install script are there for both", async () => {
		for (const { url } of [lan, server]) {
			for (const path of ["/health/live", "/health/ready", "/install.sh"]) expect((await fetch(`${url}${path}`)).status).toBe(200);
			expect((await fetch(`${url}/download/nothing`)).status).toBe(404);
			expect((await fetch(`${url}/metrics`)).status).toBe(404);
		}
	});
});

test("H5: without MUSTER_SERVER_ADDR machines are told the API listener's own address", async () => {
	const database = await testDatabase();
	const server = await startMuster({ runtime: "bun", databaseUrl: database.url, env: { MUSTER_API_LISTEN: "127.0.0.1:0" } });
	try {
		const bearer = { authorization: `Bearer ${server.adminToken}` };
		const { data: made } = await graphql(server, 'mutation { createSite(input: { code: "lan" }) { site { id } } }', {}, bearer);
		expect(made.createSite.site.id).toBeDefined();
		const { data: rotated } = await graphql(server, 'mutation { rotateSiteKey(siteCode: "lan") { secret } }', {}, bearer);
		const input = {
			enrollmentId: hex(16),
			credential: { siteKey: { siteCode: "lan", key: rotated.rotateSiteKey.secret } },
			worker: { name: "robot", machineUid: `uid-${hex(8)}` },
		};
		const { data } = await graphql(server, enrollDocument, { input });
		expect(data.enroll).toMatchObject({ __typename: "Enrolled", serverAddress: new URL(server.url).host });
	} finally {
		await server.stop();
		await database.drop();
	}
});
