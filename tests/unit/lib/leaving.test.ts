import { describe, expect, test } from "bun:test";
import { type LeaveSignal, Leaving } from "../../../src/lib/leaving.ts";

/** The two must not differ for who waits. (One that is removed by another in the midst of it is called by ours; nobody here does that.) */
const kinds: readonly (readonly [string, () => { readonly signal: LeaveSignal; readonly abort: () => void }])[] = [
	[
		"ours",
		() => {
			const signal = new Leaving();
			return { signal, abort: () => signal.abort() };
		},
	],
	[
		"an AbortController's",
		() => {
			const controller = new AbortController();
			return { signal: controller.signal, abort: () => controller.abort() };
		},
	],
];

describe.each(kinds)("a reader leaves, and whoever waits on its behalf hears of it: %s signal", (_name, make) => {
	test("each listener once, however often it was added, and however often the reader leaves", () => {
		const { signal, abort } = make();
		const heard: string[] = [];
		const first = () => heard.push("first");
		const second = () => heard.push("second");
		signal.addEventListener("abort", first, { once: true });
		signal.addEventListener("abort", first, { once: true });
		signal.addEventListener("abort", second);
		expect([signal.aborted, heard.length]).toEqual([false, 0]);
		abort();
		abort();
		expect([signal.aborted, heard]).toEqual([true, ["first", "second"]]);
	});

	test("not one that waits no more, be it the only one, one of two, or one that never was", () => {
		for (const others of [0, 1, 2]) {
			const { signal, abort } = make();
			const heard: number[] = [];
			const gone = () => heard.push(-1);
			for (let other = 0; other < others; other++) signal.addEventListener("abort", () => heard.push(other));
			signal.addEventListener("abort", gone);
			signal.removeEventListener("abort", gone);
			signal.removeEventListener("abort", gone);
			abort();
			expect(heard).toEqual(Array.from({ length: others }, (_, other) => other));
		}
	});

	test("nobody who comes after it left: they look first", () => {
		const { signal, abort } = make();
		let heard = 0;
		abort();
		signal.addEventListener("abort", () => heard++);
		abort();
		expect([signal.aborted, heard]).toEqual([true, 0]);
	});

	test("one that is added in the midst of it is not called", () => {
		const { signal, abort } = make();
		const heard: string[] = [];
		signal.addEventListener("abort", () => {
			heard.push("first");
			signal.addEventListener("abort", () => heard.push("late"));
		});
		signal.addEventListener("abort", () => heard.push("second"));
		abort();
		expect(heard).toEqual(["first", "second"]);
	});
});
