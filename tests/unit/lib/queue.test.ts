import { expect, test } from "bun:test";
import { boundedQueue } from "../../../src/lib/queue.ts";
import { failureOf } from "../../support/failure.ts";

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
	const seen: T[] = [];
	for await (const item of items) seen.push(item);
	return seen;
}

test("items come out in the order they went in, and closing ends the iteration after the last", async () => {
	const queue = boundedQueue<number>(10);
	for (const item of [1, 2, 3]) expect(queue.push(item)).toBe(true);
	queue.close();
	expect(await all(queue)).toEqual([1, 2, 3]);
});

test("a full queue refuses an item and never grows past its limit", () => {
	const queue = boundedQueue<number>(2);
	expect([1, 2, 3, 4].map((item) => queue.push(item))).toEqual([true, true, false, false]);
	expect(queue.size).toBe(2);
});

test("a reader that waits gets the item that comes, and there is room again", async () => {
	const queue = boundedQueue<number>(1);
	const reader = queue[Symbol.asyncIterator]();
	const next = reader.next();
	expect(queue.push(7)).toBe(true);
	expect(await next).toEqual({ value: 7, done: false });
	expect(queue.push(8)).toBe(true);
	await reader.return?.();
});

test("a reader that waits is released by close", async () => {
	const queue = boundedQueue<number>(1);
	const done = all(queue);
	queue.close();
	expect(await done).toEqual([]);
});

test("closing with an error ends the iteration at once and with that error", async () => {
	const queue = boundedQueue<number>(10);
	queue.push(1);
	queue.close(new Error("fell behind"));
	expect(String(await failureOf(all(queue)))).toContain("fell behind");
});

test("the first error stays, and a closed queue takes nothing", async () => {
	const queue = boundedQueue<number>(10);
	queue.close(new Error("first"));
	queue.close(new Error("second"));
	expect(queue.push(1)).toBe(false);
	expect(String(await failureOf(all(queue)))).toContain("first");
});

test("a reader that leaves closes the queue and lets go of what it held", async () => {
	const queue = boundedQueue<number>(10);
	queue.push(1);
	queue.push(2);
	for await (const _ of queue) break;
	expect(queue.size).toBe(0);
	expect(queue.push(3)).toBe(false);
});
