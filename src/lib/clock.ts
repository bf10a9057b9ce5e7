/** Where the time comes from. Tests hand in a clock they move; nothing else calls Date.now. */
export interface Clock {
	/** Wall clock, milliseconds since the epoch. */
	now(): number;
	/** A clock that never goes back, in milliseconds, for measuring spans. */
	monotonic(): number;
}

/** The machine's own clock. */
export const systemClock: Clock = {
	now: () => Date.now(),
	monotonic: () => performance.now(),
};
