import { expect, test } from "bun:test";
import { boundedMap } from "../../../src/lib/bounded-map.ts";

test("one entry too many drops the one that was touched longest ago", () => {
	const map = boundedMap<number>(2);
	for (const [index, name] of ["a", "b", "c"].entries()) map.set(name, index);
	expect(["a", "b", "c"].map((name) => map.get(name))).toEqual([undefined, 1, 2]);
	expect(map.size).toBe(2);
});

test("reading counts as touching", () => {
	const map = boundedMap<number>(2);
	map.set("a", 1);
	map.set("b", 2);
	map.get("a");
	map.set("c", 3);
	expect([map.get("a"), map.get("b")]).toEqual([1, undefined]);
});

test("writing again counts as touching and drops nothing", () => {
	const map = boundedMap<number>(2);
	map.set("a", 1);
	map.set("b", 2);
	map.set("a", 3);
	expect(map.size).toBe(2);
	map.set("c", 4);
	expect([map.get("a"), map.get("b")]).toEqual([3, undefined]);
});

test("a deleted entry is gone and leaves room", () => {
	const map = boundedMap<number>(2);
	map.set("a", 1);
	map.set("b", 2);
	map.delete("a");
	map.set("c", 3);
	expect([map.get("a"), map.get("b"), map.get("c")]).toEqual([undefined, 2, 3]);
});

test("it never holds more than its limit", () => {
	const map = boundedMap<number>(100);
	for (let index = 0; index < 10_000; index++) {
		map.set(String(index * 7_919), index);
		expect(map.size).toBeLessThanOrEqual(100);
	}
});
