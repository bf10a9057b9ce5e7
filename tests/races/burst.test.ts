import { afterAll, beforeAll, expect, test } from "bun:test";
import { admitted, booksOf, burst, newClients, newHost, newKey, startServers, tally } from "../support/burst.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import type { Muster } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";

const rounds = 20;
const clientCount = 400;
const maxUses = 100;

let database: TestDatabase;
let servers: readonly [Muster, Muster, Muster];
beforeAll(async () => {
	database = await testDatabase();
	servers = await startServers(database.url);
});
afterAll(async () => {
	await Promise.all(servers.map((server) => server.stop()));
	await database.drop();
});

test(`B4, G5: of ${clientCount} clients at once over three servers (Bun, Bun, Deno) exactly ${maxUses} get in with a key of ${maxUses} uses, in each of ${rounds} rounds`, async () => {
	const admitters = new Set<number>();
	for (let round = 0; round < rounds; round++) {
		const { keyId, way } = await newKey(servers[0], maxUses);
		const clients = await newClients(clientCount, way, false);
		await burst(servers, clients);
		expect(tally(clients)).toEqual({ in: maxUses, exhausted: clientCount - maxUses });
		expect(clients.flatMap(({ missed }) => missed)).toEqual([]);
		const wins = admitted(clients);
		expect(wins.filter(({ answer }) => answer.outcome !== "NEW")).toEqual([]);
		expect([new Set(wins.map(({ answer }) => answer.workerId)).size, new Set(wins.map(({ answer }) => answer.apiKey)).size]).toEqual([
			maxUses,
			maxUses,
		]);
		expect(await booksOf(database.db, `k.id = '${keyId}'`)).toEqual({
			uses: maxUses,
			workers: maxUses,
			hosts: maxUses,
			credentials: maxUses,
			odd: 0,
			exhaustedAlerts: 1,
		});
		expect(await rowCount(database.db, "attempts", `key_id = '${keyId}'`)).toBe(clientCount);
		expect(await rowCount(database.db, "attempts", `key_id = '${keyId}' and accepted`)).toBe(maxUses);
		for (const [index, { answer }] of clients.entries()) if (answer?.kind === "enrolled") admitters.add(index % servers.length);
	}
	// Else it was no contest: each server has let some in.
	expect(admitters.size).toBe(servers.length);
});

test(`H3, H6, G5: of ${clientCount} clients at once over three servers with one host token exactly one gets in, in each of ${rounds} rounds`, async () => {
	for (let round = 0; round < rounds; round++) {
		const { hostId, way } = await newHost(servers[0]);
		const clients = await newClients(clientCount, way, false);
		await burst(servers, clients);
		const { in: winners, already_consumed: before = 0, race_consumed: during = 0, ...others } = tally(clients);
		expect([winners, before + during, others]).toEqual([1, clientCount - 1, {}]);
		expect(clients.flatMap(({ missed }) => missed)).toEqual([]);
		const [winner] = admitted(clients);
		expect(await booksOf(database.db, `k.host_id = '${hostId}'`)).toEqual({
			uses: 1,
			workers: 1,
			hosts: 1,
			credentials: 1,
			odd: 0,
			exhaustedAlerts: 0,
		});
		const { workerId } = winner?.answer ?? {};
		expect(await rowCount(database.db, "hosts", `id = '${hostId}' and state = 'MONITORING' and worker_id = '${workerId}'`)).toBe(1);
		expect(await rowCount(database.db, "workers", `id = '${workerId}' and machine_uid = '${winner?.machineUid}'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `host_id = '${hostId}' and consumed_at is not null`)).toBe(1);
	}
});
