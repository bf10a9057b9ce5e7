import { expect, test } from "bun:test";
import { singleFlight } from "../../../src/lib/single-flight.ts";

test("callers that come while a computation runs share it, whatever theirs would have been", async () => {
	const once = singleFlight<string>();
	const { promise, resolve } = Promise.withResolvers<string>();
	let runs = 0;
	const compute = () => {
		runs++;
		return promise;
	};
	const callers = Array.from({ length: 1_000 }, () => once("a", compute));
	resolve("the result");
	expect(new Set(await Promise.all(callers))).toEqual(new Set(["the result"]));
	expect(runs).toBe(1);
});

test("another key does not wait", async () => {
	const once = singleFlight<string>();
	const stuck = Promise.withResolvers<string>();
	const first = once("a", () => stuck.promise);
	expect(await once("b", async () => "b")).toBe("b");
	stuck.resolve("a");
	expect(await first).toBe("a");
});

test("a failure is shared by those that waited and is not kept", async () => {
	const once = singleFlight<string>();
	const failing = () => Promise.reject(new Error("away"));
	const results = await Promise.allSettled([once("a", failing), once("a", failing)]);
	expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
	expect(await once("a", async () => "back")).toBe("back");
});

test("a result is not kept either: the next caller computes anew", async () => {
	const once = singleFlight<number>();
	expect(await once("a", async () => 1)).toBe(1);
	expect(await once("a", async () => 2)).toBe(2);
});
