import { expect, test } from "bun:test";
import { pageRows, Rows } from "../../../dashboard/lib/rows.ts";

interface Row {
	readonly id: string;
	readonly state: string;
}

/** A list of `total` rows whose answers come when the test says so. */
function open(total: number) {
	const asked: { skip: number; answer: () => Promise<void> }[] = [];
	let drawn = 0;
	const rows = new Rows<Row>(
		(skip) => {
			const { promise, resolve } = Promise.withResolvers<{ total: number; rows: Row[] }>();
			const page = Array.from({ length: Math.min(pageRows, total - skip) }, (_, index) => ({ id: `${skip + index}`, state: "A" }));
			asked.push({
				skip,
				async answer() {
					resolve({ total, rows: page });
					await promise;
					await Promise.resolve();
				},
			});
			return promise;
		},
		() => (drawn += 1),
		() => {},
	);
	return { rows, asked, drawn: () => drawn };
}

test("only pages in view are asked for, each once while its answer is on the way", async () => {
	const { rows, asked } = open(100_000);
	rows.want(0, 40);
	rows.want(10, 60);
	rows.want(50_090, 50_130);
	expect(asked.map(({ skip }) => skip)).toEqual([0, 50_000, 50_100]);
	for (const { answer } of asked) await answer();
	expect([rows.total, rows.at(50_129)?.id, rows.at(200)]).toEqual([100_000, "50129", undefined]);
});

test("what is held is bounded: of a walk through a hundred thousand the oldest pages are forgotten, and a change to a forgotten row is none", async () => {
	const { rows, asked } = open(100_000);
	for (let from = 0; from < 100_000; from += pageRows) {
		rows.want(from, from + 40);
		await asked.at(-1)?.answer();
	}
	let held = 0;
	for (let index = 0; index < 100_000; index += pageRows) if (rows.at(index) !== undefined) held += 1;
	expect(held).toBe(40);
	expect(rows.patch("0", { state: "B" })).toBeUndefined();
	expect(rows.patch("99999", { state: "B" })).toBe(99_999);
	expect(rows.at(99_999)?.state).toBe("B");
});

test("an answer to a filter that was left is dropped", async () => {
	const { rows, asked, drawn } = open(10);
	rows.want(0, 10);
	rows.forget();
	await asked[0]?.answer();
	expect([drawn(), rows.total]).toEqual([0, undefined]);
});

test("a refresh keeps the old rows until the new ones are here", async () => {
	const { rows, asked } = open(250);
	rows.want(0, 10);
	await asked[0]?.answer();
	rows.patch("3", { state: "B" });
	rows.refresh(0, 10);
	expect(rows.at(3)?.state).toBe("B");
	await asked[1]?.answer();
	expect(rows.at(3)?.state).toBe("A");
});
