import { describe, expect, test } from "bun:test";
import { batcher, type BatcherOptions, QueueFull } from "../../../src/lib/batcher.ts";
import { until } from "../../support/until.ts";
import { failureOf } from "../../support/failure.ts";

interface Run {
	readonly items: readonly string[];
	finish(): void;
	fail(error: Error): void;
}

/** A batcher whose runs the test ends by hand. */
function byHand(options: Partial<BatcherOptions> = {}) {
	const runs: Run[] = [];
	const it = batcher<string, string>(
		(items) =>
			new Promise((resolve, reject) => {
				runs.push({ items: [...items], finish: () => resolve(items.map((item) => `${item} done`)), fail: reject });
			}),
		{ batchMax: 100, waitingMax: 100, shared: () => false, ...options },
	);
	const run = (index: number) => until(`run ${index} begins`, () => runs[index]);
	return { it, runs, run };
}

describe("batches form by themselves", () => {
	test("a lone item runs at once, without waiting for company", () => {
		const { it, runs } = byHand();
		void it.add("a");
		expect(runs.map(({ items }) => items)).toEqual([["a"]]);
	});

	test("what arrives while a batch is in flight is the next batch, in order of arrival", async () => {
		const { it, runs, run } = byHand();
		const first = it.add("a");
		const others = ["b", "c", "d"].map((item) => it.add(item));
		expect(it.waiting).toBe(3);
		expect(runs).toHaveLength(1);
		(await run(0)).finish();
		await first;
		expect((await run(1)).items).toEqual(["b", "c", "d"]);
		(await run(1)).finish();
		expect(await Promise.all(others)).toEqual(["b done", "c done", "d done"]);
	});

	test("a batch takes at most batchMax", async () => {
		const { it, run } = byHand({ batchMax: 2 });
		const first = it.add("a");
		const others = ["b", "c", "d"].map((item) => it.add(item));
		(await run(0)).finish();
		await first;
		expect((await run(1)).items).toEqual(["b", "c"]);
		(await run(1)).finish();
		await others[1];
		expect((await run(2)).items).toEqual(["d"]);
		(await run(2)).finish();
		await Promise.all(others);
	});

	test("it runs again after it was idle", async () => {
		const { it, run } = byHand();
		const first = it.add("a");
		(await run(0)).finish();
		await first;
		await Promise.resolve();
		const second = it.add("b");
		(await run(1)).finish();
		expect(await second).toBe("b done");
	});
});

describe("further batches beside the first (G7)", () => {
	test("a second begins once so many wait, and never a third where none was asked for", async () => {
		const { it, runs, run } = byHand({ besideAt: [2], batchMax: 2 });
		const all = ["a", "b", "c", "d", "e"].map((item) => it.add(item));
		expect(runs.map(({ items }) => items)).toEqual([["a"], ["b", "c"]]);
		(await run(1)).finish();
		await all[2];
		expect((await run(2)).items).toEqual(["d", "e"]);
		(await run(0)).finish();
		(await run(2)).finish();
		expect(await Promise.all(all)).toEqual(["a done", "b done", "c done", "d done", "e done"]);
	});

	test("a third begins once as many more wait as it was given", async () => {
		const { it, runs, run } = byHand({ besideAt: [1, 3] });
		const all = ["a", "b", "c", "d", "e"].map((item) => it.add(item));
		expect(runs.map(({ items }) => items)).toEqual([["a"], ["b"], ["c", "d", "e"]]);
		for (const index of [2, 0, 1]) (await run(index)).finish();
		expect(await Promise.all(all)).toEqual(["a done", "b done", "c done", "d done", "e done"]);
	});

	test("while fewer wait they stay together, and go when the one in flight is done", async () => {
		const { it, runs, run } = byHand({ besideAt: [3] });
		const all = ["a", "b", "c"].map((item) => it.add(item));
		expect(runs).toHaveLength(1);
		(await run(0)).finish();
		expect((await run(1)).items).toEqual(["b", "c"]);
		(await run(1)).finish();
		await Promise.all(all);
	});
});

test("a large batch is answered in full and in order, though not in one turn of the loop", async () => {
	const { it, run } = byHand();
	const order: string[] = [];
	const first = it.add("a");
	const others = Array.from({ length: 50 }, (_, index) => it.add(`${index}`).then((answer) => void order.push(answer)));
	(await run(0)).finish();
	await first;
	(await run(1)).finish();
	await Promise.all(others);
	expect(order).toEqual(Array.from({ length: 50 }, (_, index) => `${index} done`));
});

describe("failures meet only whom they concern", () => {
	const poison = async (items: readonly string[]): Promise<string[]> => {
		if (items.includes("poison")) throw new Error("the item is poisonous");
		return items.map((item) => `${item} done`);
	};

	test("one poisonous item fails alone, the others of its batch succeed in order", async () => {
		const order: string[] = [];
		const it = batcher<string, string>(poison, { batchMax: 10, waitingMax: 10, shared: () => false });
		const results = await Promise.allSettled(["a", "b", "poison", "c"].map((item) => it.add(item).finally(() => order.push(item))));
		expect(results.map((result) => (result.status === "fulfilled" ? result.value : String(result.reason)))).toEqual([
			"a done",
			"b done",
			"Error: the item is poisonous",
			"c done",
		]);
		expect(order).toEqual(["a", "b", "poison", "c"]);
	});

	test("a failure that all share fails the batch at once and is not tried item by item", async () => {
		const away = new Error("the database is away");
		const { it, runs, run } = byHand({ shared: (error) => error === away });
		const first = it.add("a");
		const others = Promise.allSettled([it.add("b"), it.add("c")]);
		(await run(0)).finish();
		await first;
		(await run(1)).fail(away);
		expect(await others).toEqual([
			{ status: "rejected", reason: away },
			{ status: "rejected", reason: away },
		]);
		expect(runs).toHaveLength(2);
	});

	test("a run that gives too few results fails loudly instead of answering the wrong one", async () => {
		const it = batcher<string, string>(async () => [], { batchMax: 10, waitingMax: 10, shared: () => false });
		expect(String(await failureOf(it.add("a")))).toContain("A batch of 1 gave 0 results");
	});

	test("after a failure the next item is served", async () => {
		const it = batcher<string, string>(poison, { batchMax: 10, waitingMax: 10, shared: () => false });
		await it.add("poison").catch(() => undefined);
		expect(await it.add("a")).toBe("a done");
	});
});

test("beyond waitingMax an item is refused with QueueFull and never run; there is room again once a batch was taken", async () => {
	const { it, runs, run } = byHand({ waitingMax: 2 });
	const first = it.add("a");
	const waiting = [it.add("b"), it.add("c")];
	expect(await failureOf(it.add("d"))).toBeInstanceOf(QueueFull);
	(await run(0)).finish();
	await first;
	const second = await run(1);
	waiting.push(it.add("e"));
	second.finish();
	await waiting[0];
	(await run(2)).finish();
	await Promise.all(waiting);
	expect(runs.flatMap(({ items }) => items)).toEqual(["a", "b", "c", "e"]);
});
