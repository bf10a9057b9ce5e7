import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { advance, skippedMax, startTail, type Tail } from "../../../src/events/tail.ts";

const forgetMs = 60_000;

/** Reads each batch in turn, a millisecond apart; the delivered ids and the tail. */
function read(batches: readonly (readonly number[])[], start = startTail(0)): { readonly tail: Tail; readonly delivered: number[] } {
	let tail = start;
	const delivered: number[] = [];
	batches.forEach((ids, at) => {
		const next = advance(tail, ids, at, forgetMs);
		tail = next.tail;
		delivered.push(...next.fresh);
	});
	return { tail, delivered };
}

describe("ids that commit out of order are delivered exactly once (G5)", () => {
	test("an id that was skipped is delivered when it commits later", () => {
		expect(read([[1, 4], [2], [3]]).delivered).toEqual([1, 4, 2, 3]);
	});

	test("what was delivered is not delivered again, however often it is read", () => {
		expect(read([[1, 3], [1, 3, 2], [1, 2, 3], [2]]).delivered).toEqual([1, 3, 2]);
	});

	test("one read is delivered in ascending order, each id once", () => {
		expect(read([[5, 2, 5, 1]]).delivered).toEqual([1, 2, 5]);
	});

	test("nothing read changes nothing", () => {
		const { tail } = read([[2]]);
		expect(advance(tail, [], 5, forgetMs)).toEqual({ tail, fresh: [] });
	});

	test("ids at or below where the tail began are not delivered", () => {
		expect(read([[3, 9, 10, 11]], startTail(10)).delivered).toEqual([11]);
	});

	test("any order of commits delivers every id once and leaves nothing remembered", () => {
		const order = fc.integer({ min: 1, max: 60 }).chain((count) => {
			const ids = Array.from({ length: count }, (_, index) => index + 1);
			return fc.tuple(fc.shuffledSubarray(ids, { minLength: count, maxLength: count }), fc.array(fc.integer({ min: 1, max: 5 })));
		});
		fc.assert(
			fc.property(order, ([ids, sizes]) => {
				const batches: number[][] = [];
				const rest = [...ids];
				for (let index = 0; rest.length > 0; index++) {
					const size = sizes[index % Math.max(1, sizes.length)] ?? 1;
					// A reader asks for all above its cursor: what was there before comes along again.
					batches.push([...(batches.at(-1) ?? []), ...rest.splice(0, size)]);
				}
				const { tail, delivered } = read(batches);
				expect([...delivered].sort((left, right) => left - right)).toEqual(Array.from({ length: ids.length }, (_, index) => index + 1));
				expect(tail.skipped.size).toBe(0);
			}),
		);
	});
});

describe("a skipped id is remembered only so long, and only so many", () => {
	test("until forgetMs it is delivered, from then on it is given up", () => {
		const { tail } = advance(startTail(0), [2], 1_000, forgetMs);
		expect([...tail.skipped]).toEqual([[1, 1_000]]);
		expect(advance(tail, [], 1_000 + forgetMs - 1, forgetMs).tail.skipped.size).toBe(1);
		const later = advance(tail, [], 1_000 + forgetMs, forgetMs).tail;
		expect(later.skipped.size).toBe(0);
		expect(advance(later, [1], 1_000 + forgetMs, forgetMs).fresh).toEqual([]);
	});

	test("reading others does not renew its time", () => {
		const first = advance(startTail(0), [2], 0, forgetMs).tail;
		const second = advance(first, [3], forgetMs - 1, forgetMs).tail;
		expect(second.skipped.get(1)).toBe(0);
		expect(advance(second, [], forgetMs, forgetMs).tail.skipped.size).toBe(0);
	});

	test("a jump of a thousand million ids fills no memory: the newest are remembered", () => {
		const { tail, fresh } = advance(startTail(0), [1_000_000_000], 0, forgetMs);
		expect(fresh).toEqual([1_000_000_000]);
		expect(tail.skipped.size).toBeLessThanOrEqual(skippedMax);
		expect(tail.skipped.has(999_999_999)).toBe(true);
		expect(tail.skipped.has(1)).toBe(false);
	});

	test("many jumps give up the oldest first", () => {
		let tail = startTail(0);
		for (let jump = 1; jump <= 20; jump++) tail = advance(tail, [jump * 5_000], jump, forgetMs).tail;
		expect(tail.skipped.size).toBe(skippedMax);
		expect(tail.skipped.has(99_999)).toBe(true);
		expect(tail.skipped.has(4_999)).toBe(false);
	});
});
