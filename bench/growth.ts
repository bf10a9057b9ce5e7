/** What do a thousand, and a million, workers that are there already cost: enrolling, the first page of a list, a list by site, a flush of heartbeats? (G7) */
import { asAdmin, type Muster } from "../tests/support/muster.ts";
import { type Figure, median } from "./figures.ts";
import { writeHeartbeats } from "../src/workers/store.ts";
import { closedLoop } from "./wrk.ts";
import { seed, seededWorker } from "./seed.ts";
import { tenant } from "./socket-stage.ts";
import { type BenchDatabase, makeKeys, openMuster, openPostgres, type Progress } from "./stage.ts";

const page = "query ($site: String) { workers(first: 50, siteCode: $site) { edges { node { id name state } } } }";

async function listMs(server: Muster, variables: object): Promise<number> {
	const times: number[] = [];
	for (let round = 0; round < 15; round++) {
		const at = performance.now();
		await asAdmin(server, page, variables);
		times.push(performance.now() - at);
	}
	return median(times);
}

/** A gathering of 1,000 workers' heartbeats, of any among so many, in milliseconds. */
async function flushMs({ db }: BenchDatabase, among: number): Promise<number> {
	const stride = Math.floor(among / 1_000);
	const offset = Math.floor(Math.random() * stride);
	const at = Date.now();
	const rows = Array.from({ length: 1_000 }, (_, index) => ({
		tenantId: tenant,
		workerId: seededWorker(index * stride + offset),
		at,
		bootId: null,
		sequence: 1,
		load1: Math.random(),
		memoryUsedBytes: 1e9,
		uptimeSeconds: 1e5,
	}));
	const began = performance.now();
	await writeHeartbeats(db.sql, rows);
	return performance.now() - began;
}

/** Written to the log of the whole PostgreSQL so far. */
async function walBytes({ db }: BenchDatabase): Promise<number> {
	const [row] = await db.sql`select wal_bytes::float8 as bytes from pg_stat_wal`;
	return Number(row?.["bytes"]);
}

/** By turns, the medians' ratio: above 1 is slower among more. */
async function flushing(small: BenchDatabase, large: BenchDatabase, size: number, rounds: number) {
	const [few, many]: [number[], number[]] = [[], []];
	for (let round = -3; round < rounds; round++) {
		const pair = [await flushMs(small, 1_000), await flushMs(large, size)] as const;
		if (round < 0) continue;
		few.push(pair[0]);
		many.push(pair[1]);
	}
	return { few: median(few), many: median(many) };
}

/** Two databases side by side, a small one and one that grows: each size is measured by turns with the small one. */
export async function growth(quick: boolean, progress: Progress): Promise<Figure[]> {
	const sizes = quick ? [10_000] : [10_000, 100_000, 1_000_000];
	const postgres = await openPostgres();
	const [small, large] = [await postgres.database(), await postgres.database()];
	await seed(small, 0, 1_000, progress);
	const figures: Figure[] = [];
	let there = 0;
	for (const size of sizes) {
		await seed(large, there, size, progress);
		there = size;
		const servers = [await openMuster("bun", small.url), await openMuster("bun", large.url)] as const;
		const keys = [await makeKeys(servers[0]), await makeKeys(servers[1])] as const;
		const ratios: number[] = [];
		const wal: [number, number] = [0, 0];
		for (let round = quick ? 0 : -1; round < (quick ? 1 : 5); round++) {
			const rates: number[] = [];
			for (const side of [0, 1] as const) {
				const walBefore = await walBytes(small);
				const result = await closedLoop(servers[side], {
					clients: 64,
					warmSeconds: 1,
					seconds: quick ? 1 : 3,
					credential: keys[side].siteKey,
				});
				if (result.refused > 0) throw new Error(`growth: ${result.refused} were refused`);
				rates.push(result.perSecond);
				// The warm-up's are in it: a comparison, not a size.
				wal[side] = ((await walBytes(small)) - walBefore) / Math.max(1, result.answers);
			}
			const [few = Number.NaN, many = Number.NaN] = rates;
			// A disk that is busy with something else for a whole turn tells nothing.
			if (round >= 0 && few > 0) ratios.push(many / few);
			progress(`growth: ${many.toFixed(0)}/s among ${size} workers, ${few.toFixed(0)}/s among 1,000`);
		}
		const [all, some] = [await listMs(servers[1], {}), await listMs(servers[1], { site: "seed-7" })];
		const [fewAll, fewSome] = [await listMs(servers[0], {}), await listMs(servers[0], { site: "seed-7" })];
		figures.push({
			name: `enroll among ${size} workers ÷ among 1,000`,
			value: median(ratios),
			...(size === 1_000_000 ? { bar: 0.8, stretch: 0.95 } : {}),
			detail: {
				firstPageMs: all,
				firstPageMsAmong1000: fewAll,
				siteMs: some,
				siteMsAmong1000: fewSome,
				walBytesEach: wal[1],
				walBytesEachAmong1000: wal[0],
			},
		});
		const flush = await flushing(small, large, size, quick ? 5 : 40);
		progress(`growth: 1,000 heartbeats written in ${flush.many.toFixed(1)} ms among ${size}, ${flush.few.toFixed(1)} ms among 1,000`);
		figures.push({
			name: `flush of 1,000 heartbeats among ${size} workers ÷ among 1,000`,
			value: flush.many / flush.few,
			detail: { ms: flush.many, msAmong1000: flush.few },
		});
		await Promise.all(servers.map((server) => server.stop()));
	}
	await large.drop();
	await small.drop();
	await postgres.stop();
	return figures;
}
