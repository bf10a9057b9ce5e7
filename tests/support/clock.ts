/** A clock that a test moves. */
import type { Clock } from "../../src/lib/clock.ts";

export interface TestClock extends Clock {
	/** Lets this many milliseconds pass, for both the wall clock and the monotonic one. */
	pass(ms: number): void;
}

/** Stands still until it is moved. */
export function testClock(startMs = 1_800_000_000_000): TestClock {
	let passed = 0;
	return {
		now: () => startMs + passed,
		monotonic: () => passed,
		pass(ms) {
			passed += ms;
		},
	};
}
