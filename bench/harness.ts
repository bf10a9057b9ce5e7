/** Measures one thing against its limit, interleaved in the same run: on a shared machine only the ratio means something. */

/** What one measurement came to. */
export interface Ratio {
	readonly name: string;
	/** Microseconds a call, median over the rounds. */
	readonly subjectUs: number;
	readonly limitUs: number;
	/** Subject over limit: 1 is the limit itself. */
	readonly ratio: number;
	readonly rounds: number;
}

/** Calls a round: long enough that the clock's grain does not matter, short enough that a noisy neighbour meets both alike. */
const callsPerRound = 20_000;

/** Runs subject and limit by turns, `rounds` times after a warm-up, and compares the medians. */
export async function against(
	name: string,
	subject: () => unknown,
	limit: () => unknown,
	rounds: number,
	progress: (text: string) => void,
): Promise<Ratio> {
	const [subjects, limits]: [number[], number[]] = [[], []];
	for (let round = -2; round < rounds; round++) {
		const pair = [await time(subject), await time(limit)] as const;
		if (round < 0) continue;
		subjects.push(pair[0]);
		limits.push(pair[1]);
		progress(`${name}: round ${round + 1} of ${rounds}, ${(pair[0] / pair[1]).toFixed(2)}`);
	}
	const [subjectUs, limitUs] = [median(subjects), median(limits)];
	return { name, subjectUs, limitUs, ratio: subjectUs / limitUs, rounds };
}

async function time(work: () => unknown): Promise<number> {
	const started = performance.now();
	for (let call = 0; call < callsPerRound; call++) await work();
	return ((performance.now() - started) * 1_000) / callsPerRound;
}

function median(values: readonly number[]): number {
	const sorted = [...values].sort((left, right) => left - right);
	return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
