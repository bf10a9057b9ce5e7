import { describe, expect, test } from "bun:test";
import { file, read, wrongs } from "./compose-read.ts";

describe("H12: what a compose file comes to is bounded, however short it is", () => {
	test("aliases that grow without measure, deep nesting and long files are refused, not carried out", () => {
		const bomb = `a0: &a0 [x]\n${Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`).join("\n")}`;
		for (const source of [bomb, "[".repeat(50_000), `a: ${"{a: ".repeat(100)}1${"}".repeat(100)}`, `a: ${"x".repeat(200_000)}`])
			expect(wrongs(source).length).toBeGreaterThan(0);
	});

	test.each(["ports", "expose"])("lines that come to millions of %s are refused before they fill the memory", (key) => {
		expect(wrongs(file(`${key}: [${"1-1024,".repeat(3)}]`))).toEqual([
			`services.web.${key} comes to more than 1024 ports: publish fewer, or use network_mode host`,
		]);
		expect(read(file(`${key}: [1-1024]`)).services).toHaveLength(1);
	});

	test("among ten thousand keys the one that is there twice is found", () => {
		const keys = Array.from({ length: 10_000 }, (_, index) => `k${index}: 1`);
		expect(wrongs([...keys, "k17: 2"].join("\n"))).toEqual(["line 10001, column 1 is no YAML that can be read: Map keys must be unique"]);
	});

	test("more services than a stack may have are counted before they are read", () => {
		const many = Array.from({ length: 101 }, (_, index) => `  s${index}: { nonsense: 1 }`).join("\n");
		expect(wrongs(`services:\n${many}`)).toEqual(["services has more than 100 services: make it several stacks"]);
	});
});
