import { describe, expect, test } from "bun:test";
import { createLimiter } from "../../../src/enrollment/limiter.ts";
import { testClock } from "../../support/clock.ts";

const million = 1_000_000;
/** Distinct subscribers: 10.0.0.0/8, and one /64 each. */
const sources = {
	IPv4: (index: number) => `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`,
	IPv6: (index: number) => `2001:db8:${(index >> 16).toString(16)}:${(index & 65_535).toString(16)}::1`,
} as const;
const secondsForSlowMachines = 120_000;

/** A limiter that closes to a source with its first refusal, so that each one it remembers can be seen. */
function setUp(sourcesMax?: number) {
	const limiter = createLimiter(testClock(), {
		refusalsPerMinute: 1,
		lockout: { failures: 1, seconds: 900 },
		...(sourcesMax === undefined ? {} : { sourcesMax }),
	});
	return {
		limiter,
		/** Which it still knows of the last ten thousand, as the first and the count, and how many of a sample of those before. */
		remembered: (sourceOf: (index: number) => string) => {
			const closed = (index: number) => limiter.check("site a", sourceOf(index)).kind === "closed";
			const [sample, last] = [99, 10_000].map((length) => Array.from({ length }, (_, index) => index));
			const known = last?.map((index) => million - 10_000 + index).filter(closed) ?? [];
			return { first: known[0], count: known.length, earlier: sample?.filter((index) => closed(index * 10_000)).length };
		},
	};
}

describe("a million sources (S6)", () => {
	test.each(["IPv4", "IPv6"] as const)(
		"of %s leave exactly sourcesMax buckets: the newest are remembered, the longest untouched are not",
		(family) => {
			const { limiter, remembered } = setUp(1_000);
			for (let index = 0; index < million; index++) limiter.refused("site a", sources[family](index), false);
			expect(remembered(sources[family])).toEqual({ first: million - 1_000, count: 1_000, earlier: 0 });
		},
		secondsForSlowMachines,
	);

	test(
		"that guess have two buckets each, one of them for all scopes, within the same bound",
		() => {
			const { limiter, remembered } = setUp(1_000);
			for (let index = 0; index < million; index++) limiter.refused("site a", sources.IPv4(index), true);
			expect(remembered(sources.IPv4)).toEqual({ first: million - 500, count: 500, earlier: 0 });
		},
		secondsForSlowMachines,
	);

	test(
		"that name a million scopes leave exactly 100,000 buckets when nothing else is said: about 30 MB, where a million would be 300",
		() => {
			const { limiter } = setUp();
			for (let index = 0; index < million; index++) limiter.refused(`site ${index}`, sources.IPv4(index), false);
			expect(limiter.check(`site ${million - 100_000}`, sources.IPv4(million - 100_000)).kind).toBe("closed");
			expect(limiter.check(`site ${million - 100_001}`, sources.IPv4(million - 100_001)).kind).toBe("open");
		},
		secondsForSlowMachines,
	);
});
