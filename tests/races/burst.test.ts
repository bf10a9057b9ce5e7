import { afterAll, beforeAll, expect, test } from "bun:test";
import { admitted, booksOf, burst, type Client, newClients, newHost, newKey, startServers, tally } from "../support/burst.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import type { Muster } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";

const rounds = 20;
const clientCount = 400;
const maxUses = 100;
const manyUses = 300;
const manyRounds = 5;

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
	for (let round = 0; round < rounds; round++) await contest(maxUses);
});

// A server is asked by a third of the clients: more uses than two thirds, and whoever is quicker cannot have them all.
test(`B4, G5: nor does one more than ${manyUses} get in with a key of ${manyUses} uses, of which each of the three servers gives some, in each of ${manyRounds} rounds`, async () => {
	for (let round = 0; round < manyRounds; round++) {
		const clients = await contest(manyUses);
		const admitters = clients.flatMap(({ answer }, index) => (answer?.kind === "enrolled" ? [index % servers.length] : []));
		expect(new Set(admitters).size).toBe(servers.length);
	}
});

/** All clients at once with a new key of so many uses: exactly as many are in, and the books say so. Gives the clients: each asked the server of its place, by turns. */
async function contest(uses: number): Promise<readonly Client[]> {
	const { keyId, way } = await newKey(servers[0], uses);
	const clients = await newClients(clientCount, way, false);
	await burst(servers, clients);
	expect(tally(clients)).toEqual({ in: uses, exhausted: clientCount - uses });
	expect(clients.flatMap(({ missed }) => missed)).toEqual([]);
	const wins = admitted(clients);
	expect(wins.filter(({ answer }) => answer.outcome !== "NEW")).toEqual([]);
	expect([new Set(wins.map(({ answer }) => answer.workerId)).size, new Set(wins.map(({ answer }) => answer.apiKey)).size]).toEqual([
		uses,
		uses,
	]);
	expect(await booksOf(database.db, `k.id = '${keyId}'`)).toEqual({
		uses,
		workers: uses,
		hosts: uses,
		credentials: uses,
		odd: 0,
		exhaustedAlerts: 1,
	});
	expect(await rowCount(database.db, "attempts", `key_id = '${keyId}'`)).toBe(clientCount);
	expect(await rowCount(database.db, "attempts", `key_id = '${keyId}' and accepted`)).toBe(uses);
	return clients;
}

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
