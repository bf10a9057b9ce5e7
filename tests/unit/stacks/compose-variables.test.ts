// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Compose's variables
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { stackModel } from "../../../src/engine/stack-model.ts";
import { readCompose } from "../../../src/stacks/compose.ts";
import { file, web, wrongs } from "./compose-read.ts";

describe("H12: variables", () => {
	const rows: readonly (readonly [string, string | null])[] = [
		["$A", "one"],
		["${A}-$A", "one-one"],
		["$$A", "$A"],
		["${B:-two}", "two"],
		["${E:-two}", "two"],
		["${E-two}", ""],
		["${A:-${B}}", "one"],
		["${B:-${C:-x$A}}", "xone"],
		["${A:+yes}${B:+no}", "yes"],
		["${E:+no}${E+yes}", "yes"],
		["${A:?must}", "one"],
		["${B:?must be given}", null],
		["$B", null],
		["${", null],
		["${A", null],
		["${A!}", null],
		["$", null],
		["${B:-${D}}", null],
	];
	test.each(rows)("%s", (source, expected) => {
		const lines = `command: ['${source}']`;
		const environment = { A: "one", E: "" };
		if (expected === null) expect(wrongs(file(lines), environment)).toHaveLength(1);
		else expect(web(lines, "", environment).command).toEqual([expected]);
	});

	test("a variable may stand for a number or a truth value", () => {
		expect(web("scale: ${N}\nread_only: ${R}", "", { N: "2", R: "true" })).toMatchObject({ replicas: 2, readOnly: true });
	});

	test("S7: no problem shows a variable's value, nor a part of it", () => {
		const secret = "s3cret:/value,with-parts:xyz";
		const said = wrongs(
			file(["restart: ${S}", "ports: ['${S}']", "volumes: ['${S}']", "scale: ${S}", "hostname: ${N:?${S}}"].join("\n"), ""),
			{ S: secret },
		).join("\n");
		expect(said.length).toBeGreaterThan(0);
		for (const part of [secret, "s3cret", "with-parts"]) expect(said).not.toContain(part);
	});

	test("whatever the texts are: a text without variables stays, and nothing throws", () => {
		fc.assert(
			fc.property(fc.string(), (text) => expect(web(`command: [${JSON.stringify(text.replaceAll("$", "$$$$"))}]`).command).toEqual([text])),
		);
	});
});

describe("H12: whatever a file is, the answer is a stack that its schema takes, or problems", () => {
	const key = fc.constantFrom(
		"services",
		"web",
		"image",
		"ports",
		"volumes",
		"environment",
		"networks",
		"depends_on",
		"deploy",
		"replicas",
		"healthcheck",
		"test",
		"command",
		"labels",
		"target",
		"type",
		"name",
		"external",
		"__proto__",
		"x-a",
		"toString",
	);
	const node = fc.letrec((tie) => ({
		node: fc.oneof(
			{ depthSize: "small" },
			fc.string(),
			fc.integer(),
			fc.boolean(),
			fc.constant(null),
			fc.constantFrom("80:80", "a:/b", "$A", "${A:-x}", "web", "1s"),
			fc.array(tie("node"), { maxLength: 4 }),
			fc.dictionary(key, tie("node"), { maxKeys: 6, noNullPrototype: true }),
		),
	})).node;
	const check = (source: string) => {
		const found = readCompose(source, "shop", new Map([["A", "value"]]));
		if (found.kind === "stack") expect(v.is(stackModel, found.model)).toBe(true);
		else for (const { path, message } of found.problems) expect([typeof path, path !== "", message !== ""]).toEqual(["string", true, true]);
	};

	test("random text", () => fc.assert(fc.property(fc.string({ maxLength: 400 }), check), { numRuns: 500 }));
	test("random JSON, which is YAML", () =>
		fc.assert(
			fc.property(node, (value) => check(JSON.stringify(value))),
			{ numRuns: 500 },
		));
	test("random services", () =>
		fc.assert(
			fc.property(fc.dictionary(key, node, { noNullPrototype: true }), (value) =>
				check(JSON.stringify({ services: { web: { image: "a", ...value } } })),
			),
			{ numRuns: 1_000 },
		));
});
