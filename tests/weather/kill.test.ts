import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { openConnection, openDb } from "../../src/db/client.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { type Embedded, startEmbedded } from "../../src/db/embedded.ts";
import type { Db } from "../../src/db/port.ts";
import { silentLog } from "../../src/lib/log.ts";
import { open } from "../../src/protocol/seal.ts";
import { heartbeat } from "../api/support.ts";
import { admitted, booksOf, burst, type Client, newClients, newHost, newKey, startOne, startServers, tally } from "../support/burst.ts";
import { type Muster, temporaryDataDir } from "../support/muster.ts";
import { lockWaiters, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";

const clientCount = 400;
const maxUses = 100;
/** When the blow falls: one transaction has written and not committed, the others queue behind it; some are in; some know it. */
const moments = ["before a commit", "when some are in", "when some have their answer"] as const;
type Moment = (typeof moments)[number];

/** A PostgreSQL of its own, which may be killed. */
let dataDir: string;
let postgres: Embedded;
let db: Db;
let servers: Muster[];
beforeAll(async () => {
	dataDir = await temporaryDataDir();
	postgres = await startEmbedded({ dataDir, log: silentLog });
	db = openDb({ url: postgres.url, directUrl: postgres.url, log: silentLog });
	servers = await startServers(postgres.url.reveal());
});
afterAll(async () => {
	await Promise.all(servers.map((server) => server.stop()));
	await db.close(1_000);
	await postgres.stop();
	await removeDataDir(dataDir);
	await rm(join(dataDir, ".."), { recursive: true, force: true });
});

/** Lets all ask at once and strikes in the midst; resolves when every client has its answer. `victim` is the first to have a transaction open. */
async function struck(clients: readonly Client[], moment: Moment, some: number, victim: Muster, strike: () => Promise<unknown>) {
	const answers = Promise.withResolvers<void>();
	let known = 0;
	const onAnswer = () => {
		if (++known === some) answers.resolve();
	};
	const bursts: Promise<void>[] = [];
	const before = await rowCount(db, "workers");
	const blow = async () => {
		expect(clients.filter(({ answer }) => answer === undefined).length).toBeGreaterThan(0);
		await strike();
	};
	if (moment === "before a commit") {
		// Attempts are among the last that a batch writes: its workers and uses are there, for itself.
		const holder = await openConnection(postgres.url);
		await holder.sql`begin`;
		await holder.sql`lock table attempts in share mode`;
		bursts.push(burst([victim, ...servers.filter((server) => server !== victim)], clients.slice(0, 1), onAnswer));
		await lockWaiters(db, 1);
		bursts.push(burst(servers, clients.slice(1), onAnswer));
		await lockWaiters(db, servers.length);
		await blow();
		holder.close();
	} else {
		bursts.push(burst(servers, clients, onAnswer));
		if (moment === "when some have their answer") await answers.promise;
		else await until("some workers are in", async () => (await rowCount(db, "workers")) >= before + some);
		await blow();
	}
	await Promise.all(bursts);
}

/** SIGKILL, and another one in its place once `burstOver`. */
async function killServer(victim: Muster): Promise<void> {
	victim.kill("SIGKILL");
	await victim.ended;
}

async function replace(victim: Muster, index: number): Promise<void> {
	await victim.stop();
	servers[index] = await startOne(postgres.url.reveal(), index === 2 ? "deno" : "bun");
}

/** SIGKILL of the postmaster, or a crash with everything it runs (immediate shutdown); then it is started again. */
async function crashPostgres(signal: "SIGKILL" | "SIGQUIT"): Promise<void> {
	const [row] = await db.sql`select pg_read_file('postmaster.pid') as file`;
	process.kill(Number(String(row?.["file"]).split("\n")[0]), signal);
	await postgres.stop();
	let refused: unknown;
	// It does not start as long as a process of the old one lives.
	postgres = await until("PostgreSQL starts again", () =>
		startEmbedded({ dataDir, log: silentLog }).catch((error: unknown) => {
			refused = error;
			return undefined;
		}),
	).catch(() => {
		throw refused;
	});
}

/** What must hold afterwards, whatever was struck: as many are in as the key allows, all know it, and nothing is left over. */
async function settled(clients: readonly Client[], key: string, uses: number): Promise<void> {
	expect(tally(clients)["in"]).toBe(uses);
	expect(clients.filter(({ answer }) => answer === undefined)).toEqual([]);
	const books = await booksOf(db, key);
	expect(books).toEqual({ uses, workers: uses, hosts: uses, credentials: uses, odd: 0, exhaustedAlerts: uses === 1 ? 0 : 1 });
	const rows = await db.sql.unsafe(`select w.id from workers w join keys k on k.id = w.key_id where ${key} order by w.id`);
	const wins = admitted(clients);
	expect(wins.map(({ answer }) => answer.workerId).sort()).toEqual(rows.map((row) => String(row["id"])));
	const living = servers.filter((server) => server.stderr !== undefined);
	const beats = wins.map(async ({ answer, replyKey, enrollmentId }, index) => {
		const apiKey = await open(replyKey?.privateKey ?? "", enrollmentId, answer.sealedApiKey ?? "");
		const { status, data } = await heartbeat(living[index % living.length] ?? { url: "" }, { workerId: answer.workerId, apiKey });
		return status === 200 && data.heartbeat.nextInSeconds > 0;
	});
	expect(await Promise.all(beats)).toEqual(wins.map(() => true));
}

function report(title: string, clients: readonly Client[]): void {
	const kinds: Record<string, number> = {};
	for (const { missed } of clients) for (const what of missed) kinds[what] = (kinds[what] ?? 0) + 1;
	const replayed = admitted(clients).filter(({ answer }) => answer.outcome === "REPLAYED").length;
	console.error(title, JSON.stringify({ ...tally(clients), replayed, kinds }));
}

type Strike = (victim: Muster, repetition: number) => Promise<unknown>;
const strikes: readonly (readonly [string, Strike])[] = [
	["a server is killed", killServer],
	["PostgreSQL is killed and started again", (_, repetition) => crashPostgres(repetition === 1 ? "SIGQUIT" : "SIGKILL")],
	[
		"a server is told to stop",
		async (victim) => {
			victim.kill("SIGTERM");
		},
	],
];

describe.each(strikes)("%s in the midst of a burst", (what, strike) => {
	test.each(moments.map((moment, index) => [moment, index] as const))(
		`B4, G6: ${clientCount} clients, ${maxUses} uses, %s: ${maxUses} get in, each use is one worker with one credential, and every client knows`,
		async (moment, index) => {
			const victim = servers[index] as Muster;
			const { keyId, way } = await newKey(servers[0] as Muster, maxUses);
			const clients = await newClients(clientCount, way, true);
			const t = performance.now();
			await struck(clients, moment, 20, victim, () => strike(victim, index));
			report(`${what} ${moment} ${Math.round(performance.now() - t)} ms`, clients);
			if (what !== "PostgreSQL is killed and started again") await replace(victim, index);
			expect(tally(clients)).toEqual({ in: maxUses, exhausted: clientCount - maxUses });
			await settled(clients, `k.id = '${keyId}'`, maxUses);
		},
	);
});
