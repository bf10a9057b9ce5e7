/** What the rounds of enrolling came to. Pure. */
import { type Figure, median } from "./figures.ts";
import type { LoadResult } from "./load/enroll-client.ts";
import type { PgbenchResult } from "./pgbench.ts";

/** One point of the plot. */
export interface LoadPoint {
	readonly what: string;
	readonly clients: number;
	readonly perSecond: number;
	/** Milliseconds. */
	readonly p99: number;
	/** What made the load, and the share of a core that it took. */
	readonly generator: "wrk" | "own" | "pgbench";
	readonly generatorCores?: number;
}

/** One round of every load, by turns. */
export interface Round {
	readonly limit: readonly PgbenchResult[];
	readonly ours: ReadonlyMap<string, LoadResult>;
	/** PostGraphile; none where it is left out. */
	readonly beside: readonly { readonly clients: number; readonly result: LoadResult }[];
	/** So many at once; left out where only rates were asked. */
	readonly burst?: { readonly ours: LoadResult; readonly limit: PgbenchResult };
}

/** Each is the median of the rounds' ratios. With a prefix only the first: it is a run on another disk. */
export function figuresOf(rounds: readonly Round[], burstSize: number, prefix: string): Figure[] {
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
				byWrk: rounds.every(({ ours }) => ours.get("bun 256")?.generator === "wrk") ? 1 : 0,
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
			value: over((round) => rate(round, "beside wrong keys") / rate(round, "own")),
			...marks(0.8, 0.95),
		},
		{
			name: "enroll with a site key, proven ÷ with an enrollment key",
			value: over((round) => rate(round, "bun 64 again") / rate(round, "enrollment key")),
			...marks(0.95, 1),
		},
		{ name: "enroll by HMAC ÷ with a site key", value: over((round) => rate(round, "HMAC") / rate(round, "own")) },
		{
			name: "enroll with sealed replies ÷ without",
			value: over((round) => rate(round, "sealed") / rate(round, "own")),
			...marks(0.4, 0.8),
		},
		{
			name: `${burstSize} machines at once: last reply ÷ pgbench's time for as many`,
			value: over((round) => burstOf(round).seconds / burstOf(round).pgbenchSeconds),
			...marks(0.6, 0.25),
			less: true,
			detail: { seconds: over((round) => burstOf(round).seconds), pgbenchSeconds: over((round) => burstOf(round).pgbenchSeconds) },
		},
	);
	if (rounds.every(({ ours }) => ours.has("bun 1000")))
		figures.push({
			name: "enroll at 1,000 clients ÷ at 64",
			value: over((round) => rate(round, "bun 1000") / rate(round, "bun 64")),
			...marks(1, 1.4),
		});
	const most = ({ beside }: Round, clientsMax: number) =>
		Math.max(...beside.filter(({ clients }) => clients <= clientsMax).map(({ result }) => result.perSecond));
	if (rounds.every(({ beside }) => beside.length > 0))
		figures.push(
			{
				name: "enroll at 64–256 clients ÷ PostGraphile 5 with the same writes as one SQL function, at its best of 1 to 256",
				value: over((round) => broad(round) / most(round, 256)),
				...marks(7, 15),
				detail: { perSecond: over(broad), postgraphilePerSecond: over((round) => most(round, 256)) },
			},
			{
				name: "enroll at 64 clients ÷ PostGraphile 5, at its best of 1 to 64",
				value: over((round) => rate(round, "bun 64") / most(round, 64)),
				detail: { perSecond: over((round) => rate(round, "bun 64")), postgraphilePerSecond: over((round) => most(round, 64)) },
			},
		);
	return figures;
}

function burstOf({ burst }: Round): { readonly seconds: number; readonly pgbenchSeconds: number } {
	return { seconds: burst?.ours.lastAnswerSeconds ?? Number.NaN, pgbenchSeconds: burst?.limit.seconds ?? Number.NaN };
}

/** The points of the plot: the medians of the rounds. */
export function pointsOf(rounds: readonly Round[]): LoadPoint[] {
	const [first] = rounds;
	if (first === undefined) return [];
	const point = (what: string, clients: number, of: (round: Round) => LoadResult | undefined): LoadPoint => ({
		what,
		clients,
		perSecond: median(rounds.map((round) => of(round)?.perSecond ?? 0)),
		p99: median(rounds.map((round) => of(round)?.p99 ?? 0)),
		generator: of(first)?.generator ?? "own",
		generatorCores: median(rounds.map((round) => of(round)?.cpuShare ?? 0)),
	});
	const ours = [...first.ours.keys()]
		.filter((name) => /^bun \d+$/.test(name))
		.map((name) => point("Muster on Bun", Number(name.slice(4)), (round) => round.ours.get(name)));
	const beside = first.beside.map(({ clients }, index) => point("PostGraphile 5", clients, (round) => round.beside[index]?.result));
	const limits = first.limit.map(({ clients }, index) => ({
		what: "pgbench",
		clients,
		perSecond: median(rounds.map(({ limit }) => limit[index]?.perSecond ?? 0)),
		p99: median(rounds.map(({ limit }) => limit[index]?.p99 ?? 0)),
		generator: "pgbench" as const,
	}));
	return [...ours, ...limits, ...beside];
}
