import { describe, expect, test } from "bun:test";
import { admit, answered, type Breaker, closed, failed, withdrawn } from "../../../src/mesh/breaker.ts";

const limits = { failures: 3, openMs: 1_000 };
const open: Breaker = { kind: "open", until: 5_000 };
const halfOpen: Breaker = { kind: "half-open" };
const failures = (count: number): Breaker => ({ kind: "closed", failures: count });

describe("the circuit breaker: a mesh that fails is left alone, and found again", () => {
	test.each([
		["closed lets everyone go", failures(2), 0, true, failures(2)],
		["open turns away", open, 4_999, false, open],
		["open lets one go when its time is over: the probe", open, 5_000, true, halfOpen],
		["half-open turns all others away", halfOpen, 9_999, false, halfOpen],
	] as const)("%s", (_, breaker, now, go, next) => {
		expect(admit(breaker, now)).toEqual({ go, next });
	});

	test.each([
		["a first failure is counted", closed, failures(1)],
		["the last one that is borne", failures(1), failures(2)],
		["one more opens it", failures(2), { kind: "open", until: 1_100 }],
		["the probe failed: open again", halfOpen, { kind: "open", until: 1_100 }],
		["a late failure makes it last no longer", open, open],
	] as const)("%s", (_, breaker, next) => {
		expect(failed(breaker, 100, limits)).toEqual(next);
	});

	test("any answer closes it and forgets the failures", () => {
		expect(answered()).toEqual(closed);
	});

	test("a probe that was never sent leaves room for the next", () => {
		const after = withdrawn(halfOpen, 7_000);
		expect(admit(after, 7_000)).toEqual({ go: true, next: halfOpen });
		expect(withdrawn(failures(2), 7_000)).toEqual(failures(2));
	});
});
