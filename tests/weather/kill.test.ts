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
import { soon, until } from "../support/until.ts";

const clientCount = 400;
const maxUses = 100;
/** When the blow falls. In the first two one transaction stands there and the others queue behind it: it has written and not committed; it is stored, and nobody was told. */
const moments = ["before a commit", "after a commit that nobody heard of", "when some are in", "when some know it"] as const;
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

/**
 * Lets three quarters ask at once, strikes in the midst, and lets the rest ask at that moment; resolves when every client has its answer.
 * `victim` is the first to have a transaction open.
 */
async function struck(clients: readonly Client[], moment: Moment, some: number, victim: Muster, strike: () => Promise<unknown>) {
	const early = clients.slice(0, (clients.length * 3) / 4);
	const enough = Promise.withResolvers<void>();
	let known = 0;
	const onAnswer = () => {
		if (++known === some) enough.resolve();
	};
	const before = await rowCount(db, "workers");
	const bursts: Promise<void>[] = [];
	const blow = () => {
		expect(early.filter(({ answer }) => answer === undefined).length).toBeGreaterThan(0);
		const struckDown = strike();
		bursts.push(burst(servers, clients.slice(early.length)));
		return struckDown;
	};
	if (moment === "before a commit" || moment === "after a commit that nobody heard of") {
		const hold = await (moment === "before a commit" ? holdBeforeCommit() : holdAfterCommit());
		bursts.push(burst([victim, ...servers.filter((server) => server !== victim)], early.slice(0, 1)));
		await hold.reached();
		bursts.push(burst(servers, early.slice(1)));
		// A server may have a second batch that queues beside its first.
		await lockWaiters(db, hold.queued, "or more");
		await hold.loosen();
		await blow();
		await hold.release();
	} else {
		bursts.push(burst(servers, early, onAnswer));
		if (moment === "when some know it") await soon("the first answers", enough.promise);
		else await until("some workers are in", async () => (await rowCount(db, "workers")) >= before + some);
		await blow();
	}
	await Promise.all(bursts);
}

/** Brings transactions to a stand at one place. */
interface Hold {
	/** Resolves once one stands there. */
	reached(): Promise<unknown>;
	/** How many wait for a lock at least when every server stands somewhere. */
	readonly queued: number;
	/** The last that needs this PostgreSQL alive. */
	loosen(): Promise<unknown>;
	release(): Promise<unknown>;
}

/** Attempts are among the last that a batch writes: its workers and uses are there, for itself. */
async function holdBeforeCommit(): Promise<Hold> {
	const holder = await openConnection(postgres.url);
	await holder.sql`begin`;
	await holder.sql`lock table attempts in share mode`;
	return { reached: () => lockWaiters(db, 1), queued: servers.length, loosen: async () => {}, release: async () => holder.close() };
}

/** A commit that waits for a standby that does not exist is stored, keeps its locks, and is not answered. */
async function holdAfterCommit(): Promise<Hold> {
	const reload = () => db.sql`select pg_reload_conf()`;
	await db.sql.unsafe("alter system set synchronous_standby_names = 'nobody'");
	await reload();
	return {
		reached: () =>
			until("the commit of an enrollment waits for its standby", async () => {
				// Not one of the server's own, as of what keeps the statistics up: who waits has written workers.
				const [row] = await db.sql`
					select count(*)::int as waiting from pg_stat_activity a
					join pg_locks l on l.pid = a.pid and l.relation = 'workers'::regclass and l.mode = 'RowExclusiveLock'
					where a.wait_event = 'SyncRep'`;
				return Number(row?.["waiting"]) > 0;
			}),
		queued: servers.length - 1,
		loosen: () => db.sql.unsafe("alter system reset synchronous_standby_names"),
		release: reload,
	};
}

/** Another server in the place of one that has ended. */
async function replace(victim: Muster): Promise<void> {
	const at = servers.indexOf(victim);
	await victim.stop();
	servers[at] = await startOne(postgres.url.reveal(), at === 2 ? "deno" : "bun");
}

/** Makes ready to kill PostgreSQL: the postmaster alone, or all of it at once (immediate shutdown). Then it is started again. */
async function postgresKiller(signal: "SIGKILL" | "SIGQUIT"): Promise<() => Promise<void>> {
	const [row] = await db.sql`select pg_read_file('postmaster.pid') as file`;
	const pid = Number(String(row?.["file"]).split("\n")[0]);
	return async () => {
		process.kill(pid, signal);
		await postgres.stop();
		let refused: unknown;
		// It does not start as long as a process of the old one lives.
		const started = until("PostgreSQL starts again", () =>
			startEmbedded({ dataDir, log: silentLog }).catch((error: unknown) => {
				refused = error;
				return undefined;
			}),
		);
		postgres = await started.catch((error: unknown) => Promise.reject(new Error(String(error), { cause: refused })));
	};
}

/** What must hold afterwards, whatever was struck: as many are in as the key allows, all of them know it, and nothing is left over. */
async function expectExactly(uses: number, clients: readonly Client[], key: string): Promise<void> {
	expect(await booksOf(db, key)).toEqual({
		uses,
		workers: uses,
		hosts: uses,
		credentials: uses,
		odd: 0,
		exhaustedAlerts: uses === 1 ? 0 : 1,
	});
	const wins = admitted(clients);
	const rows = await db.sql.unsafe(`select w.id from workers w join keys k on k.id = w.key_id where ${key} order by w.id`);
	expect(wins.map(({ answer }) => answer.workerId).sort()).toEqual(rows.map((row) => String(row["id"])));
	const beats = wins.map(async ({ answer, replyKey, enrollmentId }, index) => {
		const apiKey = await open(replyKey?.privateKey ?? "", enrollmentId, answer.sealedApiKey ?? "");
		const { status } = await heartbeat(servers[index % servers.length] as Muster, { workerId: answer.workerId, apiKey });
		return status;
	});
	expect(await Promise.all(beats)).toEqual(wins.map(() => 200));
}

/** What is struck. `ready` gives the blow, which resolves when what it struck is down (a server) or up again (PostgreSQL); `after` puts back what is missing. */
const strikes = [
	{
		title: "a server is killed",
		ready: async (victim: Muster) => async () => {
			victim.kill("SIGKILL");
			await victim.ended;
		},
		after: replace,
	},
	{
		title: "PostgreSQL is killed and started again",
		ready: (_: Muster, index: number) => postgresKiller(index % 2 === 0 ? "SIGKILL" : "SIGQUIT"),
		after: async () => {},
	},
];

/** The first client was let in before the blow and could not hear it: it fetched its answer by asking again. */
function expectFetched([first]: readonly Client[], moment: Moment): void {
	if (moment === "after a commit that nobody heard of") expect(first?.answer).toMatchObject({ kind: "enrolled", outcome: "REPLAYED" });
}

const cases = moments.map((moment, index) => [moment, index] as const);

describe.each(strikes)("$title in the midst of a burst", ({ ready, after }) => {
	test.each(cases)(
		`B4, G6: %s, ${clientCount} clients, ${maxUses} uses: ${maxUses} get in, each use is one worker with one credential, and every client knows`,
		async (moment, index) => {
			const victim = servers[index % servers.length] as Muster;
			const { keyId, way } = await newKey(victim, maxUses);
			const clients = await newClients(clientCount, way, true);
			const strike = await ready(victim, index);
			try {
				await struck(clients, moment, 20, victim, strike);
			} finally {
				await after(victim);
			}
			expect(tally(clients)).toEqual({ in: maxUses, exhausted: clientCount - maxUses });
			expectFetched(clients, moment);
			await expectExactly(maxUses, clients, `k.id = '${keyId}'`);
		},
	);

	test.each(cases)(
		`H3, H6, G6: %s, ${clientCount} clients with one host token: one gets in and knows it, the others know that it is used`,
		async (moment, index) => {
			const victim = servers[(index + 1) % servers.length] as Muster;
			const { hostId, way } = await newHost(victim);
			const clients = await newClients(clientCount, way, true);
			const strike = await ready(victim, index);
			try {
				await struck(clients, moment, 1, victim, strike);
			} finally {
				await after(victim);
			}
			const { in: winners, already_consumed: before = 0, race_consumed: during = 0 } = tally(clients);
			expect([winners, before + during]).toEqual([1, clientCount - 1]);
			expectFetched(clients, moment);
			await expectExactly(1, clients, `k.host_id = '${hostId}'`);
			expect(await rowCount(db, "hosts", `id = '${hostId}' and state = 'MONITORING' and worker_id is not null`)).toBe(1);
		},
	);
});

describe("a server is told to stop in the midst of a burst", () => {
	test.each(cases)(
		`B4, G6: %s, ${clientCount} clients, ${maxUses} uses: it answers all it took in, ends with 0, and nobody is in without knowing it`,
		async (moment, index) => {
			const victim = servers[(index + 2) % servers.length] as Muster;
			const { keyId, way } = await newKey(victim, maxUses);
			const clients = await newClients(clientCount, way, true);
			try {
				await struck(clients, moment, 20, victim, async () => victim.kill("SIGTERM"));
			} finally {
				await replace(victim);
			}
			expect(await victim.ended).toBe(0);
			expect(tally(clients)).toEqual({ in: maxUses, exhausted: clientCount - maxUses });
			await expectExactly(maxUses, clients, `k.id = '${keyId}'`);
			// What it took in is on record, so one record a client means that none had to ask twice for what was decided.
			expect(await rowCount(db, "attempts", `key_id = '${keyId}'`)).toBe(clientCount);
			expect(admitted(clients).filter(({ answer }) => answer.outcome !== "NEW")).toEqual([]);
		},
	);
});
