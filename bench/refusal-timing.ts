/** Can somebody without a key tell by the time of the answer whether a selector exists, or whether a key was well-formed? (A6 to H8: one cost for all) */
import { startTestServer, testDatabase } from "../tests/support/db.ts";
import { enrollInput, hex, newEnrollmentKey, newSite, openPipeline, type Pipeline } from "../tests/support/pipeline.ts";
import { mintToken, parseToken } from "../src/protocol/token.ts";
import { systemRandom } from "../src/lib/random.ts";
import type { Ratio } from "./harness.ts";

/** A refusal measured against the refusal of an unknown key. */
export interface RefusalTiming extends Ratio {
	/** How likely a random one of these takes longer than a random unknown one (Mann-Whitney): 0.5 tells nothing. */
	readonly chance: number;
}

const callsPerRound = 100;

/** Runs the whole pipeline, database and all, one call at a time, by turns. */
export async function refusalTiming(rounds: number, progress: (text: string) => void): Promise<readonly RefusalTiming[]> {
	const server = await startTestServer();
	process.env["TEST_DATABASE_URL"] = server.url;
	const database = await testDatabase();
	const pipeline = await openPipeline(database.url);
	try {
		const site = await newSite(pipeline.deps);
		const { key } = await newEnrollmentKey(pipeline.deps.db, { siteId: site.siteId });
		const cases: Record<string, () => object> = {
			"site unknown": () => siteClaim(site.siteCode, mintToken("site", systemRandom.bytes(38)).text),
			"site wrong": () => siteClaim(site.siteCode, wrong("site", site.key)),
			"site malformed": () => siteClaim(site.siteCode, `${site.key.slice(0, -1)}z`),
			"enroll unknown": () => enrollClaim(mintToken("enroll", systemRandom.bytes(38)).text),
			"enroll wrong": () => enrollClaim(wrong("enroll", key)),
			"enroll malformed": () => enrollClaim(`${key.slice(0, -1)}z`),
		};
		const times = Object.fromEntries(Object.keys(cases).map((name) => [name, [] as number[]]));
		// A single round has no warm-up: it shows that the question can be asked.
		for (let round = rounds === 1 ? 0 : -1; round < rounds; round++) {
			for (let call = 0; call < (rounds === 1 ? 20 : callsPerRound); call++) {
				for (const [name, claim] of Object.entries(cases)) {
					const taken = await timed(pipeline, claim());
					if (round >= 0) times[name]?.push(taken);
				}
			}
			if (round >= 0) progress(`refusal-timing: round ${round + 1} of ${rounds}`);
		}
		return ["site", "enroll"].flatMap((kind) => ["wrong", "malformed"].map((what) => compare(kind, what, times, rounds)));
	} finally {
		await pipeline.close();
		await database.drop();
		await server.stop();
	}
}

function compare(kind: string, what: string, times: Readonly<Record<string, readonly number[]>>, rounds: number): RefusalTiming {
	const [subject, limit] = [times[`${kind} ${what}`] ?? [], times[`${kind} unknown`] ?? []];
	const [subjectUs, limitUs] = [median(subject), median(limit)];
	return { name: `${kind} ${what}/unknown`, subjectUs, limitUs, ratio: subjectUs / limitUs, rounds, chance: chance(subject, limit) };
}

async function timed({ enroller }: Pipeline, claim: object): Promise<number> {
	// A source of its own each: no limit is met.
	const source = `10.${[1, 2, 3].map(() => Math.trunc(systemRandom.fraction() * 256)).join(".")}`;
	const started = performance.now();
	const result = await enroller.enroll(claim, source);
	const taken = (performance.now() - started) * 1_000;
	if (result.kind !== "rejected" || result.reason !== "invalid_token")
		throw new Error(`Expected invalid_token, got ${JSON.stringify(result)}`);
	return taken;
}

/** The selector of a real key with another secret. */
function wrong(kind: "site" | "enroll", key: string): string {
	const selector = Buffer.from(parseToken(key)?.selector ?? "", "hex");
	return mintToken(kind, Buffer.concat([selector, systemRandom.bytes(32)])).text;
}

function siteClaim(siteCode: string, key: string): object {
	return enrollInput({ siteCode, key });
}

function enrollClaim(enrollmentKey: string): object {
	return {
		enrollmentId: hex(16),
		credential: { enrollmentKey },
		worker: { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}` },
	};
}

function chance(subject: readonly number[], limit: readonly number[]): number {
	const sorted = [...limit].sort((left, right) => left - right);
	let below = 0;
	for (const value of subject) below += sorted.findLastIndex((other) => other < value) + 1;
	return below / (subject.length * limit.length);
}

function median(values: readonly number[]): number {
	const sorted = [...values].sort((left, right) => left - right);
	return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
