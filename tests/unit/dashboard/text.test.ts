import { expect, test } from "bun:test";
import { bytes } from "../../../dashboard/lib/figures.ts";
import { variablesIn } from "../../../dashboard/lib/compose.ts";
import { linePath } from "../../../dashboard/lib/line.ts";
import { alertKinds, refusals } from "../../../dashboard/lib/words.ts";
import { alertKinds as raised } from "../../../src/alerts/alert.ts";
import { refusals as codes } from "../../../src/protocol/codes.ts";

test("H8: every refusal has plain words and something to do", () => {
	expect(Object.keys(refusals).sort()).toEqual([...codes].sort());
	for (const { what, todo } of Object.values(refusals)) expect([what.length > 10, todo.length > 10]).toEqual([true, true]);
});

test.each([
	[0, "0 B"],
	[512, "512 B"],
	[1_536, "1.5 KiB"],
	[3.4 * 1_024 ** 3, "3.4 GiB"],
	[64 * 1_024 ** 3, "64 GiB"],
] as const)("%p bytes are %p", (value, text) => {
	expect(bytes(value)).toBe(text);
});

test("a line breaks where nothing is known, and stays inside its box", () => {
	expect(linePath([0, 5, null, 10, 20], 40, 10, 10)).toBe("M0.0 10.0L10.0 5.0M30.0 0.0L40.0 0.0");
	expect(linePath([], 40, 10, 10)).toBe("");
});

test("webhooks can be made for every kind of alert that is raised, and for no other", () => {
	expect([...alertKinds].sort()).toEqual([...raised].sort());
});

/** `%` stands for `$`, which linters take for a template string that was forgotten. */
test.each([
	["image: %IMAGE:%{TAG}", ["IMAGE", "TAG"]],
	["a: %{A:-x} b: %{B?needed} again: %{A}", ["A", "B"]],
	["command: wait %%! ; echo %%HOME", []],
	["%%%REAL %1 %{} %", ["REAL"]],
	["", []],
] as const)("H12: the variables of %j are %j", (compose, names) => {
	expect(variablesIn(compose.replaceAll("%", "$"))).toEqual([...names]);
});
