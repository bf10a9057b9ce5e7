import type { Clock } from "../../../src/lib/clock.ts";
import type { Timers } from "../../../worker/timers.ts";

/** Time that moves only when told to, for code that waits. */
export class FakeTime implements Clock, Timers {
	#nowMs = 0;
	#waiting: { readonly atMs: number; readonly callback: () => void }[] = [];

	now(): number {
		return this.#nowMs;
	}

	monotonic(): number {
		return this.#nowMs;
	}

	after(delayMs: number, callback: () => void): () => void {
		const wait = { atMs: this.#nowMs + delayMs, callback };
		this.#waiting.push(wait);
		return () => {
			this.#waiting = this.#waiting.filter((other) => other !== wait);
		};
	}

	/** How many waits are under way. */
	get waits(): number {
		return this.#waiting.length;
	}

	/** Moves time on; what falls due is called in its order, and what it starts gets to run before the next. */
	async pass(ms: number): Promise<void> {
		const untilMs = this.#nowMs + ms;
		for (;;) {
			await settle();
			const next = this.#waiting.filter(({ atMs }) => atMs <= untilMs).sort((left, right) => left.atMs - right.atMs)[0];
			if (next === undefined) break;
			this.#waiting = this.#waiting.filter((other) => other !== next);
			this.#nowMs = next.atMs;
			next.callback();
		}
		this.#nowMs = untilMs;
		await settle();
	}
}

/** Lets everything that is ready run: a turn of the event loop ends only when no promise is left to settle. */
export function settle(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve));
}
