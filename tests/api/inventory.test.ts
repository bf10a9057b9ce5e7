import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createClient } from "graphql-ws/client";
import { reportContainerStatsDocument, reportEngineDocument, reportHostEventsDocument } from "../../src/protocol/commands.ts";
import { asAdmin, graphql } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { newHost, type TestHost } from "./commands-support.ts";
import { type Bench, onEachRuntime } from "./support.ts";

// For hangs only.
setDefaultTimeout(60_000);

const engine = { id: "engine-1", version: "29.0.0", apiVersion: "1.52" };
const container = (id: string, more: object = {}) => ({
	id,
	name: `name-${id}`,
	image: "redis:8",
	state: "running",
	status: "Up 3 hours",
	createdAt: "2026-11-21T05:00:00.000Z",
	labels: [{ key: "a", value: "b" }],
	ports: ["80/tcp", "443/tcp -> 0.0.0.0:8443"],
	...more,
});
const figures = (containerId: string, more: object = {}) => ({
	containerId,
	cpuCores: 1.5,
	memoryBytes: 2 ** 33,
	memoryLimitBytes: null,
	networkReceivedBytes: 1,
	networkSentBytes: 2,
	...more,
});
const event = (action: string, more: object = {}) => ({
	at: "2026-11-21T05:00:00.123Z",
	type: "container",
	action,
	subject: "abc",
	name: "web",
	attributes: { image: "redis" },
	...more,
});

onEachRuntime("the inventory", (bench: Bench) => {
	/** A report of a host's worker, over HTTP; its errors as text. */
	async function report({ workerId, apiKey }: TestHost, document: string, input: object): Promise<string> {
		const headers = { authorization: `Bearer ${apiKey}`, "muster-worker-id": workerId };
		const { data, errors } = await graphql(bench.server, document, { input }, headers);
		if (errors.length === 0) expect(Object.values(data)).toEqual([{ serverTime: expect.any(String) }]);
		return JSON.stringify(errors);
	}
	const hostOf = async ({ hostId }: TestHost, selection: string) =>
		(await asAdmin(bench.server, `query ($id: ID!) { host(id: $id) { ${selection} } }`, { id: hostId })).host;

	describe("engine and containers (H10)", () => {
		const all =
			"engine { id version apiVersion reason reportedAt } containers { id name image state status createdAt labels { key value } ports }";

		test("what the worker reports stands on its host, whole, and stays while the host is DEGRADED (H13)", async () => {
			const host = await newHost(bench);
			expect(await hostOf(host, all)).toEqual({ engine: null, containers: [] });
			expect(await report(host, reportEngineDocument, { engine, reason: null, containers: [container("b"), container("a")] })).toBe("[]");
			await bench.database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
			expect(await hostOf(host, all)).toEqual({
				engine: { ...engine, reason: null, reportedAt: expect.any(String) },
				containers: [container("a"), container("b")],
			});
			expect(await report(host, reportEngineDocument, { engine, reason: null, containers: [container("b", { state: "exited" })] })).toBe(
				"[]",
			);
			expect((await hostOf(host, all)).containers).toEqual([container("b", { state: "exited" })]);
		});

		test("no engine: the reason stands in its place, and no container", async () => {
			const host = await newHost(bench);
			await report(host, reportEngineDocument, { engine, reason: null, containers: [container("a")] });
			await report(host, reportEngineDocument, { engine: null, reason: "no socket: mount it", containers: [] });
			expect(await hostOf(host, all)).toMatchObject({ engine: { id: null, reason: "no socket: mount it" }, containers: [] });
		});

		test("NUL and halves of characters in what Docker says are replaced, and a container listed twice is one", async () => {
			const host = await newHost(bench);
			const containers = [container("a"), container("a", { name: "x\0y\ud800" })];
			expect(await report(host, reportEngineDocument, { engine, reason: null, containers })).toBe("[]");
			expect((await hostOf(host, all)).containers).toEqual([container("a", { name: "x\ufffdy\ufffd" })]);
		});

		test("too many containers are refused with the limit", async () => {
			const host = await newHost(bench);
			const containers = Array.from({ length: 2_001 }, (_, index) => container(`c${index}`, { labels: [], ports: [] }));
			expect(await report(host, reportEngineDocument, { engine, reason: null, containers })).toContain("more than 2000 containers");
		});
	});

	describe("figures (H10)", () => {
		const all = "containers { id metrics { at cpuCores memoryBytes memoryLimitBytes networkReceivedBytes networkSentBytes } }";

		test("the first of a minute stand on their container; those of a container that is not there are dropped; they go with it", async () => {
			const host = await newHost(bench);
			await report(host, reportEngineDocument, { engine, reason: null, containers: [container("a")] });
			for (const cpuCores of [1.5, 7])
				expect(await report(host, reportContainerStatsDocument, { containers: [figures("a", { cpuCores }), figures("gone")] })).toBe("[]");
			const [{ metrics }] = (await hostOf(host, all)).containers;
			const { containerId: _, ...first } = figures("a");
			expect(metrics[0]).toEqual({ at: expect.any(String), ...first });
			const rows = () => rowCount(bench.database.db, "container_stats", `host_id = '${host.hostId}'`);
			// The minute may have turned between the two.
			expect(await rows()).toBe(metrics.length);
			expect(metrics.length).toBeLessThan(3);
			await report(host, reportEngineDocument, { engine, reason: null, containers: [] });
			expect(await rows()).toBe(0);
		});

		test("a figure that is none is refused by its place", async () => {
			const host = await newHost(bench);
			expect(await report(host, reportContainerStatsDocument, { containers: [figures("a", { cpuCores: -1 })] })).toContain(
				"containers.0.cpuCores must not be negative",
			);
		});
	});

	describe("events (H10)", () => {
		const all = "events(first: 200) { totalCount nodes { at type action subject name attributes { key value } } }";

		test("they stand on the host newest first, and subscribers are told of their own", async () => {
			const [host, other] = [await newHost(bench), await newHost(bench)];
			const told: string[] = [];
			const client = createClient({
				url: `${bench.server.url.replace("http", "ws")}/graphql`,
				webSocketImpl: WebSocket,
				connectionParams: { authorization: `Bearer ${bench.server.adminToken}` },
			});
			client.subscribe(
				{ query: "subscription ($ids: [ID!]) { hostEvent(hostIds: $ids) { hostId action } }", variables: { ids: [host.hostId] } },
				{
					next: (next) => void told.push(JSON.stringify(next.data)),
					error: (error) => void told.push(JSON.stringify(error)),
					complete() {},
				},
			);
			await until("the subscriber is told", async () => {
				await report(other, reportHostEventsDocument, { events: [event("other")] });
				expect(await report(host, reportHostEventsDocument, { events: [event("create"), event("start")] })).toBe("[]");
				return told.length >= 2;
			});
			expect(told.filter((text) => !text.includes(host.hostId))).toEqual([]);
			const { nodes } = (await hostOf(host, all)).events;
			expect(nodes.slice(0, 2)).toEqual([
				{ ...event("start"), attributes: [{ key: "image", value: "redis" }] },
				{ ...event("create"), attributes: [{ key: "image", value: "redis" }] },
			]);
			await client.dispose();
		});

		test("the newest 500 of a host are kept, and more than 200 at once are refused", async () => {
			const host = await newHost(bench);
			const many = (count: number, round: number) => Array.from({ length: count }, (_, index) => event(`e${round}-${index}`));
			expect(await report(host, reportHostEventsDocument, { events: many(201, 0) })).toContain("more than 200 events");
			for (const round of [1, 2, 3]) expect(await report(host, reportHostEventsDocument, { events: many(200, round) })).toBe("[]");
			const { totalCount, nodes } = (await hostOf(host, all)).events;
			expect([totalCount, nodes[0].action]).toEqual([500, "e3-199"]);
			expect(await rowCount(bench.database.db, "host_events", `host_id = '${host.hostId}' and action = 'e1-99'`)).toBe(0);
		});
	});

	test("an admin's token reports nothing", async () => {
		const input = { engine, reason: null, containers: [] };
		const headers = { authorization: `Bearer ${bench.server.adminToken}` };
		const { errors } = await graphql(bench.server, reportEngineDocument, { input }, headers);
		expect(errors[0]?.extensions?.["code"]).toBe("FORBIDDEN");
	});
});
