/** Known operations run in a lane of their own: nobody may be able to tell. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { WebSocket } from "ws";
import { enrollDocument, heartbeatDocument } from "../../src/protocol/operations.ts";
import { generateReplyKey } from "../../src/protocol/seal.ts";
import { enrollMutation, type GraphQLReply, graphql, type Muster, startMuster } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { openWire, type Wire } from "../support/wire.ts";
import { table } from "./refusals-table.ts";
import { kinds, meshDownEnv, openWay, type Stage, stageEnv } from "./refusals-ways.ts";
import { asked, enroll, newSite, newSource, onEachRuntime } from "./support.ts";

/** Each row runs twice, and one of them keeps Argon2id busy 258 times. */
const secondsForSlowMachines = 300_000;
/** One blank more is another text, so it takes the general pipeline, and asks for the very same. */
const lanes = (document: string) => [document, `${document} `] as const;

onEachRuntime(
	"the fast lane",
	(bench, runtime) => {
		const others: { twin?: Muster; closed?: Muster; bare?: Muster; meshed?: Muster; wire?: Wire } = {};
		beforeAll(async () => {
			const { url } = bench.database;
			const start = (databaseUrl: string, env: Readonly<Record<string, string>>) => startMuster({ runtime, databaseUrl, env });
			const { MUSTER_SHARED_SECRET: _, ...bareEnv } = stageEnv;
			others.wire = await openWire(url);
			others.twin = await start(others.wire.url, stageEnv);
			others.closed = await start(url, { ...stageEnv, MUSTER_EXTERNAL_WORKERS: "off" });
			others.bare = await start(url, bareEnv);
			others.meshed = await start(url, meshDownEnv);
		}, secondsForSlowMachines);
		afterAll(async () => {
			await Promise.all([others.twin?.stop(), others.closed?.stop(), others.bare?.stop(), others.meshed?.stop()]);
			await others.wire?.cut();
		});
		afterEach(() => {
			asked.document = enrollMutation;
		});
		const stage = (): Stage => {
			const { twin, closed, bare, meshed, wire } = others;
			if (twin === undefined || closed === undefined || bare === undefined || meshed === undefined || wire === undefined)
				throw new Error("No stage");
			return { server: bench.server, database: bench.database, twin, closed, bare, meshed, wire };
		};
		/** The same asked in each lane, each time with keys and machines of its own. */
		async function inBothLanes(ask: () => Promise<GraphQLReply>): Promise<void> {
			const [fast, general] = lanes(enrollDocument);
			asked.document = fast;
			const quick = await ask();
			asked.document = general;
			expect(told(quick)).toEqual(told(await ask()));
		}

		test.each(table.map((row) => [row.reason, row.kind, row.how, row] as const))(
			"%s for %s, since %s, is told byte for byte as by the general pipeline (G7)",
			(_reason, _kind, _how, row) =>
				inBothLanes(async () => {
					const [way, source] = [await openWay(stage(), row.kind, row.key), newSource()];
					const { input, server = bench.server, ask } = await row.arrange(stage(), way, source);
					return (ask ?? (() => enroll(server, input, source)))();
				}),
			secondsForSlowMachines,
		);

		test.each(kinds)("an enrollment by %s is answered byte for byte as by the general pipeline, sealed and in clear (G7)", async (kind) => {
			const { publicKey: replyKey } = await generateReplyKey();
			for (const more of [{}, { replyKey }]) {
				await inBothLanes(async () => {
					const way = await openWay(stage(), kind);
					return enroll(bench.server, { ...way.right(way.claim()), ...more });
				});
			}
		});

		test("a machine that waits for approval is told so byte for byte (G7)", () =>
			inBothLanes(async () => {
				const { siteCode, key } = await newSite(bench.server, { enrollmentPolicy: "REQUIRE_APPROVAL" });
				const worker = { name: "robot", machineUid: `uid-${hex(12)}` };
				return enroll(bench.server, { enrollmentId: hex(16), credential: { siteKey: { siteCode, key } }, worker });
			}));

		const input = { enrollmentId: "x", credential: { enrollmentKey: "x" }, worker: { name: "x", machineUid: "x" } };
		test.each([
			["no variables", {}],
			["an input that is none", { input: 7 }],
			["a field too many", { input: { ...input, more: 1 } }],
			["two ways in", { input: { ...input, credential: { enrollmentKey: "x", hostToken: { token: "x", sharedSecret: "x" } } } }],
			["no way in", { input: { ...input, credential: {} } }],
			["a name that is a number", { input: { ...input, worker: { name: 1, machineUid: "x" } } }],
			["another variable besides", { input, other: true }],
		])("%s: the complaint is the general pipeline's (G7)", async (_what, variables) => {
			const replies = await Promise.all(lanes(enrollDocument).map((document) => graphql(bench.server, document, variables)));
			expect(told(replies[0])).toEqual(told(replies[1]));
		});

		test.each([
			"*/*",
			"application/json",
			"application/graphql-response+json",
			"application/graphql-response+json, application/json",
			"application/json;q=0.9, application/graphql-response+json",
			"text/html, application/json",
			"text/event-stream",
			"multipart/mixed",
			"text/csv",
			"constructor",
			"__proto__",
		])("whoever accepts %s gets the same type, status and bytes (G7)", async (accept) => {
			for (const variables of [{ input }, { input: 7 }]) {
				const replies = await Promise.all(
					lanes(enrollDocument).map(async (query) => {
						const body = JSON.stringify({ query, variables });
						const headers = { accept, "content-type": "application/json", "x-forwarded-for": newSource() };
						const reply = await fetch(`${bench.server.url}/graphql`, { method: "POST", headers, body });
						return told({ status: reply.status, headers: reply.headers, text: await reply.text() });
					}),
				);
				expect(replies[0]).toEqual(replies[1]);
			}
		});

		test("a heartbeat over HTTP, good, without a credential, with a wrong one, and of wrong figures (G7)", async () => {
			const way = await openWay(stage(), "enrollmentKey");
			const { data } = await enroll(bench.server, way.right(way.claim()));
			const { workerId, apiKey } = data.enroll;
			const good = { authorization: `Bearer ${apiKey}`, "muster-worker-id": workerId };
			const cases = [
				[good, {}],
				[good, { input: { sequence: 1, load1: 0.5 } }],
				[good, { input: { load1: -1 } }],
				[good, { input: { load1: "much" } }],
				[{}, {}],
				[{ ...good, "muster-worker-id": "another" }, {}],
				[{ authorization: `Bearer ${bench.server.adminToken}` }, {}],
			] as const;
			for (const [headers, variables] of cases) {
				const [fast, general] = lanes(heartbeatDocument);
				const quick = await graphql(bench.server, fast, variables, headers);
				expect(told(quick)).toEqual(told(await graphql(bench.server, general, variables, headers)));
			}
		});

		test("on a socket every message is the same, of enrollments and heartbeats, good and bad (G7)", async () => {
			const way = await openWay(stage(), "enrollmentKey");
			const right = () => ({ input: way.right(way.claim()) });
			const { data } = await enroll(bench.server, way.right(way.claim()));
			const login = { workerId: data.enroll.workerId, apiKey: data.enroll.apiKey };
			const wrong = () => ({ input: way.wrong(way.claim()) });
			const asks: readonly (readonly [string, () => object])[] = [
				...[right, wrong, () => ({ input: 7 }), () => ({})].map((make) => [enrollDocument, make] as const),
				...[{}, { input: { load1: 1 } }, { input: { load1: -1 } }, { input: { load1: "x" } }].map(
					(v) => [heartbeatDocument, () => v] as const,
				),
			];
			for (const params of [login, {}]) {
				const fast = await overSocket(bench.server, params, 0, asks);
				expect(fast).toEqual(await overSocket(bench.server, params, 1, asks));
				expect(fast.length).toBeGreaterThan(asks.length);
			}
		});
	},
	stageEnv,
);

/** What a client sees, with what is random or a time put the same for all. */
function told(reply: Pick<GraphQLReply, "status" | "headers" | "text"> | undefined): object {
	if (reply === undefined) throw new Error("No reply");
	const headers = Object.fromEntries(reply.headers);
	delete headers["date"];
	delete headers["x-request-id"];
	// After its first failures the mesh is not asked for a while, which is said in other words.
	if (reply.text.includes("mesh_mint_failed")) delete headers["content-length"];
	return { status: reply.status, headers: { ...headers, "retry-after": counting(headers["retry-after"] ?? "") }, text: plain(reply.text) };
}

/** Seconds that pass between one request and the next. */
const counting = (seconds: string) => seconds.replace(/^\d{2,3}$/, "soon");

function plain(text: string): string {
	return text
		.replaceAll(
			/"(apiKey|sealedApiKey|serverTime|requestId)":"([^"]+)"/g,
			(_, field: string, value: string) => `"${field}":"${value.length}"`,
		)
		.replaceAll(/("mesh_mint_failed","message"):"[^"]+"/g, "$1:the mesh failed")
		.replaceAll(/_[0-9a-hjkmnp-tv-z]{26}/g, "_id")
		.replaceAll(/[0-9a-f]{12,}/g, "hex")
		.replaceAll(/2001:db8:[0-9a-f:]+/g, "source")
		.replaceAll(/"retryAfterSeconds":\d{2,3}/g, '"retryAfterSeconds":soon')
		.replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, "time");
}

/** Everything the server says to these operations, one after the other. */
async function overSocket(
	{ url }: Muster,
	payload: object,
	lane: 0 | 1,
	asks: readonly (readonly [string, () => object])[],
): Promise<string[]> {
	const heard: string[] = [];
	const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
		headers: { "x-forwarded-for": newSource() },
	});
	let answer = () => {};
	socket.onmessage = ({ data }) => {
		if (typeof data !== "string") return;
		heard.push(plain(data));
		if (/"type":"(connection_ack|complete|error)"/.test(data)) answer();
	};
	const said = (message: object) =>
		new Promise<void>((resolve, reject) => {
			answer = resolve;
			socket.onclose = ({ reason }) => reject(new Error(`The socket closed: ${reason}`));
			socket.send(JSON.stringify(message));
		});
	await new Promise((resolve) => (socket.onopen = resolve));
	await said({ type: "connection_init", payload });
	for (const [index, [document, variables]] of asks.entries()) {
		await said({ id: String(index), type: "subscribe", payload: { query: lanes(document)[lane], variables: variables() } });
	}
	socket.close();
	return heard;
}
