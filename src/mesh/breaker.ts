/** Whether the mesh is asked at all. Times are milliseconds of a monotonic clock. */
export type Breaker =
	| { readonly kind: "closed"; readonly failures: number }
	/** It failed too often: nobody asks until then. */
	| { readonly kind: "open"; readonly until: number }
	/** One call finds out whether it is back; the others are turned away meanwhile. */
	| { readonly kind: "half-open" };

export interface BreakerLimits {
	/** Failures in a row after which it opens. */
	readonly failures: number;
	readonly openMs: number;
}

export const closed: Breaker = { kind: "closed", failures: 0 };

/** Whether a call may go now, and what the breaker is from then on. The one that is let through while it was open is the probe. Pure. */
export function admit(breaker: Breaker, now: number): { readonly go: boolean; readonly next: Breaker } {
	switch (breaker.kind) {
		case "closed":
			return { go: true, next: breaker };
		case "half-open":
			return { go: false, next: breaker };
		case "open":
			return now < breaker.until ? { go: false, next: breaker } : { go: true, next: { kind: "half-open" } };
	}
}

/** After an answer, whatever it said: it is there. Also of a call that began before the breaker opened. Pure. */
export function answered(): Breaker {
	return closed;
}

/** After a call without an answer. One that ends late does not make an open breaker stay open longer. Pure. */
export function failed(breaker: Breaker, now: number, limits: BreakerLimits): Breaker {
	switch (breaker.kind) {
		case "closed":
			return breaker.failures + 1 < limits.failures
				? { kind: "closed", failures: breaker.failures + 1 }
				: { kind: "open", until: now + limits.openMs };
		case "half-open":
			return { kind: "open", until: now + limits.openMs };
		case "open":
			return breaker;
	}
}

/** After a probe that was never sent: the next call is the probe. Pure. */
export function withdrawn(breaker: Breaker, now: number): Breaker {
	return breaker.kind === "half-open" ? { kind: "open", until: now } : breaker;
}
