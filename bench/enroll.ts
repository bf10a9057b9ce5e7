/** How many machines are let in a second, beside PostgreSQL's own load generator with one transaction for each? (G7) */
import { generateReplyKey } from "../src/protocol/seal.ts";
import { mintToken } from "../src/protocol/token.ts";
import type { Muster } from "../tests/support/muster.ts";
import { randomBytes } from "node:crypto";
import { type Figure, median } from "./figures.ts";
import type { EnrollLoad, LoadResult } from "./load/enroll-client.ts";
import { findPgbench, pgbench, type PgbenchResult } from "./pgbench.ts";
import { type BenchDatabase, enrollments, type Keys, makeKeys, openMuster, openPostgres, type Progress } from "./stage.ts";

/** One point of the plot. */
export interface LoadPoint {
	readonly what: string;
	readonly clients: number;
	readonly perSecond: number;
	readonly p99: number;
}

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
}

/** Sizes of a run. */
interface Sizes {
	readonly rounds: number;
	readonly seconds: number;
	readonly burst: number;
	readonly clients: readonly number[];
	readonly pgbenchClients: readonly number[];
}

const quickSizes: Sizes = { rounds: 1, seconds: 2, burst: 2_000, clients: [64, 256], pgbenchClients: [1, 4, 64] };
const fullSizes: Sizes = { rounds: 5, seconds: 4, burst: 10_000, clients: [1, 16, 64, 256, 1_000], pgbenchClients: [1, 4, 16, 64] };

/** Runs every load by turns in each round, so that a noisy neighbour meets both sides alike; the medians of the rounds' ratios count. */
export async function enrolling(quick: boolean, progress: Progress, slow?: Parameters<typeof openPostgres>[0]): Promise<EnrollResult> {
	const program = findPgbench();
	if (program === undefined) {
		progress("enroll: pgbench is not installed (Debian: postgresql-15), so there is nothing to compare with");
		return { figures: [], points: [] };
	}
	const prefix = slow === undefined ? "" : "a millisecond more per flush: ";
	const sizes = { ...(quick ? quickSizes : fullSizes), ...(slow === undefined ? {} : { clients: [64, 256] }) };
	const postgres = await openPostgres(slow);
	const database = await postgres.database();
	const env = { MUSTER_MASTER_KEY: Buffer.alloc(32, 5).toString("base64"), MUSTER_RATE_LIMIT: "1000000", MUSTER_LOCKOUT: "100000/1s" };
	const bun = await openMuster("bun", database.url, env);
	const deno = await openMuster("deno", database.url, env);
	const stage: Stage = { database, bun, deno, keys: await makeKeys(bun), pgbench: program };
	// Neither side is measured on empty tables.
	await pgbench(program, database, stage.keys, 4, { transactions: 5_000 });
	await enrollments(bun, { clients: 64, warmSeconds: 1, seconds: 1, credential: stage.keys.siteKey });
	await enrollments(deno, { clients: 64, warmSeconds: 1, seconds: 1, credential: stage.keys.siteKey });
	await database.db.sql`analyze`;
	const rounds: Round[] = [];
	for (let round = 0; round < sizes.rounds; round++) {
		rounds.push(await oneRound(stage, sizes, (text) => progress(`${prefix}enroll, round ${round + 1} of ${sizes.rounds}: ${text}`)));
	}
	await Promise.all([bun.stop(), deno.stop()]);
	await database.drop();
	await postgres.stop();
	return { figures: figuresOf(rounds, sizes, prefix), points: pointsOf(rounds) };
}

interface Round {
	readonly limit: readonly PgbenchResult[];
	readonly ours: ReadonlyMap<string, LoadResult>;
	readonly burst: LoadResult;
	readonly burstLimit: PgbenchResult;
}

async function oneRound({ database, bun, deno, keys, pgbench: program }: Stage, sizes: Sizes, progress: Progress): Promise<Round> {
	const ours = new Map<string, LoadResult>();
	const limit: PgbenchResult[] = [];
	const load = async (
		name: string,
		server: Muster,
		clients: number,
		credential: EnrollLoad["credential"],
		more: Partial<EnrollLoad> = {},
	) => {
		const result = await enrollments(server, { clients, warmSeconds: 0.5, seconds: sizes.seconds, credential, ...more });
		if (result.refused > 0) throw new Error(`${name}: ${result.refused} were refused`);
		progress(
			`${name}: ${result.perSecond.toFixed(0)}/s, p99 ${result.p99.toFixed(1)} ms (generator ${(result.cpuShare * 100).toFixed(0)} % of a core)`,
		);
		ours.set(name, result);
	};
	for (const clients of sizes.pgbenchClients) {
		const result = await pgbench(program, database, keys, clients, { seconds: sizes.seconds });
		limit.push(result);
		progress(`pgbench with ${clients}: ${result.perSecond.toFixed(0)}/s, p99 ${result.p99.toFixed(1)} ms`);
	}
	for (const clients of sizes.clients) await load(`bun ${clients}`, bun, clients, keys.siteKey);
	await load("deno 64", deno, 64, keys.siteKey);
	await load("bun 64 again", bun, 64, keys.siteKey);
	await load("enrollment key", bun, 64, keys.enrollmentKey);
	await load("HMAC", bun, 64, keys.hmac);
	await load("sealed", bun, 64, keys.siteKey, { replyKey: (await generateReplyKey()).publicKey });
	const wrong = { perSecond: 700, token: mintToken("enroll", randomBytes(38)).text };
	await load("beside wrong keys", bun, 64, keys.siteKey, { wrong });
	const best = limit.reduce((left, right) => (left.perSecond > right.perSecond ? left : right));
	const burst = await enrollments(bun, { clients: sizes.burst, once: true, warmSeconds: 0, seconds: 0, credential: keys.siteKey });
	const burstLimit = await pgbench(program, database, keys, best.clients, { transactions: sizes.burst });
	progress(`burst of ${sizes.burst}: ${burst.lastAnswerSeconds.toFixed(2)} s beside ${burstLimit.seconds.toFixed(2)} s`);
	return { limit, ours, burst, burstLimit };
}

function figuresOf(rounds: readonly Round[], sizes: Sizes, prefix: string): Figure[] {
	const over = (ratio: (round: Round) => number) => median(rounds.map(ratio));
	const rate = ({ ours }: Round, name: string) => ours.get(name)?.perSecond ?? Number.NaN;
	const best = ({ limit }: Round) => Math.max(...limit.map(({ perSecond }) => perSecond));
	const broad = (round: Round) => Math.max(rate(round, "bun 64"), rate(round, "bun 256"));
	const marks = (bar: number, stretch: number) => ({ bar, stretch });
	const figures: Figure[] = [
		{
			name: `${prefix}enroll at 64–256 clients ÷ best pgbench rate, Bun`,
			value: over((round) => broad(round) / best(round)),
			...(prefix === "" ? marks(4, 8) : { bar: 15, stretch: 40 }),
			detail: {
				perSecond: over(broad),
				pgbenchPerSecond: over(best),
				generatorCores: over(({ ours }) => ours.get("bun 256")?.cpuShare ?? 0),
			},
		},
	];
	if (prefix !== "") return figures;
	const p99 = ({ limit }: Round, clients: number) => limit.find((one) => one.clients === clients)?.p99 ?? Number.NaN;
	figures.push(
		{ name: "enroll on Deno ÷ on Bun", value: over((round) => rate(round, "deno 64") / rate(round, "bun 64 again")), ...marks(0.65, 0.9) },
		{
			name: "p99 at 64 clients ÷ pgbench's at 64",
			value: over((round) => (round.ours.get("bun 64")?.p99 ?? Number.NaN) / p99(round, 64)),
			...marks(1, 0.25),
			less: true,
		},
		{
			name: "valid enrollments under 700 wrong keys a second ÷ without",
			value: over((round) => rate(round, "beside wrong keys") / rate(round, "bun 64 again")),
			...marks(0.8, 0.95),
		},
		{
			name: "enroll with a site key, proven ÷ with an enrollment key",
			value: over((round) => rate(round, "bun 64 again") / rate(round, "enrollment key")),
			...marks(0.95, 1),
		},
		{ name: "enroll by HMAC ÷ with a site key", value: over((round) => rate(round, "HMAC") / rate(round, "bun 64 again")) },
		{
			name: "enroll with sealed replies ÷ without",
			value: over((round) => rate(round, "sealed") / rate(round, "bun 64 again")),
			...marks(0.4, 0.8),
		},
		{
			name: `${sizes.burst} machines at once: last reply ÷ pgbench's time for as many`,
			value: over(({ burst, burstLimit }) => burst.lastAnswerSeconds / burstLimit.seconds),
			...marks(0.6, 0.25),
			less: true,
			detail: { seconds: over(({ burst }) => burst.lastAnswerSeconds), pgbenchSeconds: over(({ burstLimit }) => burstLimit.seconds) },
		},
	);
	if (sizes.clients.includes(1_000))
		figures.push({
			name: "enroll at 1,000 clients ÷ at 64",
			value: over((round) => rate(round, "bun 1000") / rate(round, "bun 64")),
			...marks(1, 1.4),
		});
	return figures;
}

function pointsOf(rounds: readonly Round[]): LoadPoint[] {
	const [first] = rounds;
	if (first === undefined) return [];
	const ours = [...first.ours.keys()]
		.filter((name) => /^bun \d+$/.test(name))
		.map((name) => ({
			what: "Muster on Bun",
			clients: Number(name.slice(4)),
			perSecond: median(rounds.map((round) => round.ours.get(name)?.perSecond ?? 0)),
			p99: median(rounds.map((round) => round.ours.get(name)?.p99 ?? 0)),
		}));
	const limits = first.limit.map(({ clients }, index) => ({
		what: "pgbench",
		clients,
		perSecond: median(rounds.map(({ limit }) => limit[index]?.perSecond ?? 0)),
		p99: median(rounds.map(({ limit }) => limit[index]?.p99 ?? 0)),
	}));
	return [...ours, ...limits];
}
