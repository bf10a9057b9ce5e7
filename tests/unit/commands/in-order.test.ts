import { describe, expect, test } from "bun:test";
import { inOrder } from "../../../src/commands/in-order.ts";

const cases: readonly (readonly [string, readonly number[], number, boolean, readonly number[]])[] = [
	["nothing stored", [], 0, false, []],
	["in order", [0, 1, 2], 0, false, [0, 1, 2]],
	["the first is under way", [1, 2, 3], 0, false, []],
	["one in between is under way", [0, 2, 3], 0, false, [0]],
	["one is under way, however far the others are", [0, 2, 3, 99], 0, false, [0]],
	["those that are missing will not come any more", [1, 3], 0, true, [1, 3]],
	["what was passed on already", [3, 4, 5], 5, false, [5]],
];

describe("output in its order (H10)", () => {
	test.each(cases)("%s: stored %j, waiting for %d, skips %p", (_, stored, next, skips, expected) => {
		const passed = inOrder(
			stored.map((sequence) => ({ sequence })),
			next,
			skips,
		);
		expect(passed.map(({ sequence }) => sequence)).toEqual([...expected]);
	});
});
