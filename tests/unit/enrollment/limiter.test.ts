import { describe, expect, test } from "bun:test";
import { createLimiter, type LimiterOptions } from "../../../src/enrollment/limiter.ts";
import { testClock } from "../../support/clock.ts";

const open = { kind: "open" } as const;

function setUp(change: Partial<LimiterOptions> = {}) {
	const clock = testClock();
	const limiter = createLimiter(clock, { refusalsPerMinute: 6, lockout: { failures: 4, seconds: 900 }, ...change });
	const refuse = (times: number, guess: boolean, scope = "site a", source = "192.0.2.1") =>
		Array.from({ length: times }, () => limiter.refused(scope, source, guess));
	return { clock, limiter, refuse };
}

describe("the bucket (S6)", () => {
	test("a success is free: a thousand checks leave the gate open", () => {
		const { limiter } = setUp();
		for (let index = 0; index < 1_000; index++) expect(limiter.check("site a", "192.0.2.1")).toEqual(open);
	});

	test("each refusal takes a token, and the one that empties the bucket closes the gate", () => {
		const { limiter, refuse } = setUp();
		refuse(5, false);
		expect(limiter.check("site a", "192.0.2.1")).toEqual(open);
		refuse(1, false);
		expect(limiter.check("site a", "192.0.2.1")).toEqual({ kind: "closed", why: "rate_limited", retryAfterSeconds: 10 });
	});

	test("the gate opens exactly when retryAfterSeconds says", () => {
		const { clock, limiter, refuse } = setUp();
		refuse(6, false);
		clock.pass(9_000);
		expect(limiter.check("site a", "192.0.2.1")).toEqual({ kind: "closed", why: "rate_limited", retryAfterSeconds: 1 });
		clock.pass(1_000);
		expect(limiter.check("site a", "192.0.2.1")).toEqual(open);
	});

	test("refusals beyond an empty bucket make no debt", () => {
		const { clock, limiter, refuse } = setUp();
		refuse(500, false);
		clock.pass(10_000);
		expect(limiter.check("site a", "192.0.2.1")).toEqual(open);
	});

	test("the bucket never holds more than a minute's refusals", () => {
		const { clock, limiter, refuse } = setUp();
		refuse(1, false);
		clock.pass(86_400_000);
		refuse(6, false);
		expect(limiter.check("site a", "192.0.2.1").kind).toBe("closed");
	});

	test("another source, and another scope of the same source, are not touched", () => {
		const { limiter, refuse } = setUp();
		refuse(50, true);
		expect(limiter.check("site a", "192.0.2.2")).toEqual(open);
		expect(limiter.check("site b", "192.0.2.1")).toEqual(open);
	});
});

describe("the lockout (S6)", () => {
	test("begins with the failure that reaches the limit and says so once", () => {
		const { refuse } = setUp();
		expect(refuse(4, true)).toEqual([false, false, false, true]);
	});

	test("is told before the rate limit, with the time that is left", () => {
		const { clock, limiter, refuse } = setUp();
		refuse(4, true);
		expect(limiter.check("site a", "192.0.2.1")).toEqual({ kind: "closed", why: "locked_out", retryAfterSeconds: 900 });
		clock.pass(899_001);
		expect(limiter.check("site a", "192.0.2.1")).toEqual({ kind: "closed", why: "locked_out", retryAfterSeconds: 1 });
		clock.pass(999);
		expect(limiter.check("site a", "192.0.2.1")).toEqual(open);
	});

	test("a burst that was already past the gate neither begins it again nor moves its end", () => {
		const { clock, limiter, refuse } = setUp();
		refuse(4, true);
		clock.pass(60_000);
		expect(refuse(100, true)).not.toContain(true);
		expect(limiter.check("site a", "192.0.2.1")).toEqual({ kind: "closed", why: "locked_out", retryAfterSeconds: 840 });
	});

	test("refusals that were no guess never begin it", () => {
		const { limiter, refuse } = setUp();
		expect(refuse(100, false)).not.toContain(true);
		expect(limiter.check("site a", "192.0.2.1")).toMatchObject({ why: "rate_limited" });
	});

	test("failures spread wider than its length never begin it", () => {
		const { clock, refuse } = setUp();
		for (let index = 0; index < 20; index++) {
			expect(refuse(3, true)).not.toContain(true);
			clock.pass(900_001);
		}
	});

	test("begins anew, and is told anew, after it ended", () => {
		const { clock, refuse } = setUp();
		refuse(4, true);
		clock.pass(900_001);
		expect(refuse(4, true)).toEqual([false, false, false, true]);
	});
});
