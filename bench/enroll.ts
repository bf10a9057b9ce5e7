/** How many machines are let in a second, beside PostgreSQL's own load generator with one transaction for each? (G7) */
import { generateReplyKey } from "../src/protocol/seal.ts";
import { mintToken } from "../src/protocol/token.ts";
import type { Muster } from "../tests/support/muster.ts";
import { randomBytes } from "node:crypto";
import { figuresOf, type LoadPoint, pointsOf, type Round } from "./enroll-figures.ts";
import type { Figure } from "./figures.ts";
import type { EnrollLoad, LoadResult } from "./load/enroll-client.ts";
import { openPostGraphile, type PostGraphile } from "./postgraphile.ts";
import { findPgbench, pgbench, type PgbenchResult } from "./pgbench.ts";
import { closedLoop } from "./wrk.ts";
import { type BenchDatabase, enrollments, type Keys, makeKeys, openMuster, openPostgres, type Progress } from "./stage.ts";

/** Figures and the points to plot. */
export interface EnrollResult {
	readonly figures: readonly Figure[];
	readonly points: readonly LoadPoint[];
}

interface Stage {
	readonly database: BenchDatabase;
	readonly bun: Muster;
	readonly deno: Muster;
	readonly keys: Keys;
	readonly pgbench: string;
	readonly postgraphile: PostGraphile | undefined;
}

/** Sizes of a run. */
interface Sizes {
	readonly rounds: number;
	readonly seconds: number;
	readonly burst: number;
	readonly clients: readonly number[];
	readonly pgbenchClients: readonly number[];
	readonly postgraphileClients: readonly number[];
	/** Whether only the rates at `clients` are asked. */
	readonly ratesOnly?: boolean;
}

const quickSizes: Sizes = { rounds: 1, seconds: 1, burst: 500, clients: [64, 256], pgbenchClients: [4, 64], postgraphileClients: [] };
const fullSizes: Sizes = {
	rounds: 5,
	seconds: 4,
	burst: 10_000,
	clients: [1, 16, 64, 256, 1_000],
	pgbenchClients: [1, 4, 16, 64],
	postgraphileClients: [1, 16, 64, 256],
};

/** Runs every load by turns in each round, so that a noisy neighbour meets both sides alike; the medians of the rounds' ratios count. */
export async function enrolling(quick: boolean, progress: Progress, slow?: Parameters<typeof openPostgres>[0]): Promise<EnrollResult> {
	const program = findPgbench();
	if (program === undefined) {
		progress("enroll: pgbench is not installed (Debian: postgresql-15), so there is nothing to compare with");
		return { figures: [], points: [] };
	}
	const prefix = slow === undefined ? "" : "a millisecond more per flush: ";
	const sizes = {
		...(quick ? quickSizes : fullSizes),
		...(slow === undefined ? {} : { clients: [64, 256], postgraphileClients: [], ratesOnly: true }),
	};
	await using opened = new AsyncDisposableStack();
	const postgres = await openPostgres(slow);
	opened.defer(() => postgres.stop());
	const database = await postgres.database();
	opened.defer(() => database.drop());
	const env = { MUSTER_MASTER_KEY: Buffer.alloc(32, 5).toString("base64"), MUSTER_RATE_LIMIT: "1000000", MUSTER_LOCKOUT: "100000/1s" };
	const bun = await openMuster("bun", database.url, env);
	opened.defer(() => bun.stop());
	const deno = await openMuster("deno", database.url, env);
	opened.defer(() => deno.stop());
	const keys = await makeKeys(bun);
	// Neither side is measured on empty tables.
	await pgbench(program, database, keys, 4, { transactions: quick ? 1_000 : 5_000 });
	// Nor is a server whose code is still being compiled.
	for (const server of [bun, deno])
		await enrollments(server, { clients: 256, warmSeconds: quick ? 1 : 8, seconds: 1, credential: keys.siteKey });
	await database.db.sql`analyze`;
	const postgraphile = sizes.postgraphileClients.length === 0 ? undefined : await openPostGraphile(database, keys, progress);
	opened.defer(() => postgraphile?.stop());
	const stage: Stage = { database, bun, deno, keys, pgbench: program, postgraphile };
	if (postgraphile !== undefined) await loadPostGraphile(postgraphile, keys, 16, 1);
	const rounds: Round[] = [];
	for (let round = 0; round < sizes.rounds; round++) {
		rounds.push(await oneRound(stage, sizes, (text) => progress(`${prefix}enroll, round ${round + 1} of ${sizes.rounds}: ${text}`)));
	}
	return { figures: figuresOf(rounds, sizes.burst, prefix), points: pointsOf(rounds) };
}

async function oneRound(stage: Stage, sizes: Sizes, progress: Progress): Promise<Round> {
	const { database, bun, deno, keys, pgbench: program, postgraphile } = stage;
	const ours = new Map<string, LoadResult>();
	const limit: PgbenchResult[] = [];
	const beside: { readonly clients: number; readonly result: LoadResult }[] = [];
	const note = (name: string, { refused, perSecond, p99, cpuShare, generator = "own" }: LoadResult) => {
		if (refused > 0) throw new Error(`${name}: ${refused} were refused`);
		progress(
			`${name}: ${perSecond.toFixed(0)}/s, p99 ${p99.toFixed(1)} ms (generator ${generator}, ${(cpuShare * 100).toFixed(0)} % of a core)`,
		);
	};
	const load = async (
		name: string,
		server: Muster,
		clients: number,
		credential: EnrollLoad["credential"],
		more: Partial<EnrollLoad> = {},
		run: typeof enrollments = closedLoop,
	) => {
		const result = await run(server, { clients, warmSeconds: 0.5, seconds: sizes.seconds, credential, ...more });
		note(name, result);
		ours.set(name, result);
	};
	for (const clients of sizes.pgbenchClients) {
		// With 64 clients a short run may end before its first transaction does.
		const result = await pgbench(program, database, keys, clients, { seconds: Math.max(2, sizes.seconds) });
		limit.push(result);
		progress(`pgbench with ${clients}: ${result.perSecond.toFixed(0)}/s, p99 ${result.p99.toFixed(1)} ms`);
	}
	for (const clients of sizes.clients) await load(`bun ${clients}`, bun, clients, keys.siteKey);
	for (const clients of sizes.postgraphileClients) {
		if (postgraphile === undefined) break;
		const result = await loadPostGraphile(postgraphile, keys, clients, sizes.seconds);
		note(`PostGraphile with ${clients}`, result);
		beside.push({ clients, result });
	}
	if (sizes.ratesOnly === true) return { limit, ours, beside };
	await load("deno 64", deno, 64, keys.siteKey);
	await load("bun 64 again", bun, 64, keys.siteKey);
	await load("enrollment key", bun, 64, keys.enrollmentKey);
	// What wrk cannot do is put beside what the same client of ours does without it.
	await load("own", bun, 64, keys.siteKey, {}, enrollments);
	await load("HMAC", bun, 64, keys.hmac);
	await load("sealed", bun, 64, keys.siteKey, { replyKey: (await generateReplyKey()).publicKey });
	const wrong = { perSecond: 700, token: mintToken("enroll", randomBytes(38)).text };
	await load("beside wrong keys", bun, 64, keys.siteKey, { wrong });
	const best = limit.reduce((left, right) => (left.perSecond > right.perSecond ? left : right));
	const burst = await enrollments(bun, { clients: sizes.burst, once: true, warmSeconds: 0, seconds: 0, credential: keys.siteKey });
	if (burst.refused > 0) throw new Error(`Of ${sizes.burst} machines at once ${burst.refused} were refused`);
	const burstLimit = await pgbench(program, database, keys, best.clients, { transactions: sizes.burst });
	progress(`burst of ${sizes.burst}: ${burst.lastAnswerSeconds.toFixed(2)} s beside ${burstLimit.seconds.toFixed(2)} s`);
	return { limit, ours, beside, burst: { ours: burst, limit: burstLimit } };
}

/** Its closed loop, in which every answer is a machine that stands in the tables. */
async function loadPostGraphile(postgraphile: PostGraphile, keys: Keys, clients: number, seconds: number): Promise<LoadResult> {
	const before = await postgraphile.written();
	const load = { clients, warmSeconds: 0.5, seconds, credential: keys.siteKey, postgraphile: postgraphile.asks };
	const result = await closedLoop({ url: `http://127.0.0.1:${postgraphile.port}` }, load);
	const written = (await postgraphile.written()) - before;
	if (written < result.answers) throw new Error(`PostGraphile let ${result.answers} in and wrote ${written}`);
	return result;
}
