import { subscriberOf } from "../lib/address.ts";
import { type BoundedMap, boundedMap } from "../lib/bounded-map.ts";
import type { Clock } from "../lib/clock.ts";

/** Whether a source may try now; if not, which refusal and how long to wait. */
export type Admission =
	| { readonly kind: "open" }
	| { readonly kind: "closed"; readonly why: "rate_limited" | "locked_out"; readonly retryAfterSeconds: number };

/**
 * Rate limit and lockout per (scope, source address), looked at before any costly work (S6). A refusal takes a token, a wrong
 * secret also counts towards a lockout; a success costs nothing, so a fleet behind one NAT enrolls at full speed. Wrong
 * secrets also count in one bucket a source has for all scopes, ten times as deep: who names another site or key each time meets that. The addresses
 * of one IPv6 /64 are one source. In memory, per process, bounded in size.
 */
export interface Limiter {
	check(scope: string, source: string): Admission;
	/** Counts a refusal. `guess`: the secret was wrong. Returns true when this very refusal began a lockout. */
	refused(scope: string, source: string, guess: boolean): boolean;
	/** How long a lockout lasts, in milliseconds. */
	readonly lockoutMs: number;
}

export interface LimiterOptions {
	readonly refusalsPerMinute: number;
	/** Wrong secrets within `seconds` that begin a lockout of `seconds`. */
	readonly lockout: { readonly failures: number; readonly seconds: number };
	/** Buckets remembered; the longest untouched one is forgotten first. Default 100,000, about 30 MB. */
	readonly sourcesMax?: number;
}

interface Source {
	tokens: number;
	refilledAt: number;
	failures: number;
	firstFailureAt: number;
	lockedUntil: number;
}

/** How much deeper the bucket is that a source has for all scopes together. */
const allScopesFactor = 10;

/** Makes an empty limiter. */
export function createLimiter(clock: Clock, options: LimiterOptions): Limiter {
	const { refusalsPerMinute, lockout } = options;
	const sources = boundedMap<Source>(options.sourcesMax ?? 100_000);
	const one = buckets(clock, options, sources);
	const all = buckets(
		clock,
		{
			refusalsPerMinute: refusalsPerMinute * allScopesFactor,
			lockout: { failures: lockout.failures * allScopesFactor, seconds: lockout.seconds },
		},
		sources,
	);
	return {
		lockoutMs: lockout.seconds * 1_000,
		check(scope, address) {
			const source = subscriberOf(address);
			const every = all.check("", source);
			return every.kind === "closed" ? every : one.check(scope, source);
		},
		refused(scope, address, guess) {
			const source = subscriberOf(address);
			// What comes while the scope is locked out was on its way before: it is no new guess.
			const gate = one.check(scope, source);
			const counts = guess && !(gate.kind === "closed" && gate.why === "locked_out");
			const began = one.refused(scope, source, guess);
			return (counts && all.refused("", source, true)) || began;
		},
	};
}

function buckets(clock: Clock, { refusalsPerMinute, lockout }: LimiterOptions, sources: BoundedMap<Source>): Omit<Limiter, "lockoutMs"> {
	const perMs = refusalsPerMinute / 60_000;
	const lockoutMs = lockout.seconds * 1_000;

	function refill(source: Source, now: number): void {
		source.tokens = Math.min(refusalsPerMinute, source.tokens + (now - source.refilledAt) * perMs);
		source.refilledAt = now;
	}

	return {
		check(scope, address) {
			const source = sources.get(keyOf(scope, address));
			if (source === undefined) return { kind: "open" };
			const now = clock.monotonic();
			if (now < source.lockedUntil) return closed("locked_out", source.lockedUntil - now);
			refill(source, now);
			return source.tokens >= 1 ? { kind: "open" } : closed("rate_limited", (1 - source.tokens) / perMs);
		},
		refused(scope, address, guess) {
			const key = keyOf(scope, address);
			const now = clock.monotonic();
			const source = sources.get(key) ?? { tokens: refusalsPerMinute, refilledAt: now, failures: 0, firstFailureAt: now, lockedUntil: 0 };
			refill(source, now);
			source.tokens = Math.max(0, source.tokens - 1);
			let began = false;
			if (guess) {
				if (now - source.firstFailureAt > lockoutMs || source.failures === 0) {
					source.failures = 0;
					source.firstFailureAt = now;
				}
				source.failures++;
				if (source.failures >= lockout.failures) {
					// A burst that was already past the gate must not push the end of the lockout, nor alert again.
					began = now >= source.lockedUntil;
					if (began) source.lockedUntil = now + lockoutMs;
					source.failures = 0;
				}
			}
			sources.set(key, source);
			return began;
		},
	};
}

function keyOf(scope: string, address: string): string {
	return `${scope}\n${address}`;
}

function closed(why: "rate_limited" | "locked_out", waitMs: number): Admission {
	return { kind: "closed", why, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)) };
}
