import { expect, test } from "bun:test";
import fc from "fast-check";
import { fullJitter } from "../../../src/lib/backoff.ts";

const limits = { baseMs: 100, capMs: 10_000 };

test("the ceiling doubles with each failure until the cap", () => {
	const ceilings = [0, 1, 2, 3, 6, 7, 1_000_000].map((attempt) => fullJitter(limits, attempt, 1));
	expect(ceilings).toEqual([100, 200, 400, 800, 6_400, 10_000, 10_000]);
});

test("a delay is a whole number of milliseconds between 0 and the ceiling, spread over all of it", () => {
	fc.assert(
		fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, fraction) => {
			const delay = fullJitter(limits, attempt, fraction);
			expect(Number.isInteger(delay)).toBe(true);
			expect(delay).toBeGreaterThanOrEqual(0);
			expect(delay).toBeLessThan(Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(attempt, 30)));
		}),
	);
	expect(fullJitter(limits, 3, 0)).toBe(0);
	expect(fullJitter(limits, 3, 0.5)).toBe(400);
});
