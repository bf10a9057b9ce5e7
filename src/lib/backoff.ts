/** Limits of a retry delay, in milliseconds. */
export interface Backoff {
	readonly baseMs: number;
	readonly capMs: number;
}

/**
 * Full jitter: a uniform delay between 0 and min(cap, base * 2^attempt) milliseconds, so that ten thousand workers
 * that lost one server do not come back in step.
 * @param attempt failures so far, from 0
 * @param fraction uniform in [0, 1)
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function fullJitter({ baseMs, capMs }: Backoff, attempt: number, fraction: number): number {
	const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
	return Math.floor(ceiling * fraction);
}
