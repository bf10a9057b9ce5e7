import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { schemaTypes } from "../../scripts/schema-types.ts";
import { printedSchema, schema } from "../../src/graphql/schema.ts";
import { refusalAnswer, refusalStatus } from "../../src/protocol/codes.ts";
import { root, sources } from "./tree.ts";

const linesMax = 300;

test("files stay small: none has more than 300 lines", () => {
	const long = sources("src", "worker", "dashboard", "tests", "scripts")
		.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
		.filter(({ lines }) => lines > linesMax);
	expect(long).toEqual([]);
});

test("every function, class and interface that a module exports says what it promises", () => {
	const silent = sources("src", "worker", "dashboard").flatMap(({ path, text }) =>
		[...text.matchAll(/^export (?:async )?(?:function\*?|class|abstract class) (\w+)/gm)]
			.filter((match) => !/\*\/\s*$/.test(text.slice(0, match.index)))
			.map((match) => `${path}: ${match[1]}`),
	);
	expect(silent).toEqual([]);
});

test("G1: schema.graphql is what the code prints; `npm run schema` writes it", () => {
	expect(readFileSync(join(root, "schema.graphql"), "utf8")).toBe(printedSchema());
	expect(readFileSync(join(root, "dashboard", "api", "schema-types.ts"), "utf8")).toBe(schemaTypes(schema));
});

test("one graphql module: two of them reject each other's types", () => {
	const found = readdirSync(join(root, "node_modules"), { recursive: false, withFileTypes: true }).flatMap((entry) =>
		[join(entry.name, "node_modules", "graphql")].filter((path) => existsSync(join(root, "node_modules", path))),
	);
	expect(found).toEqual([]);
});

test("dependencies are pinned exactly, and the lockfile names no registry", () => {
	const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, Record<string, string>>;
	const versions = ["dependencies", "devDependencies", "optionalDependencies"].flatMap((group) => Object.entries(manifest[group] ?? {}));
	expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
	expect(readFileSync(join(root, "package-lock.json"), "utf8")).not.toContain('"resolved"');
});

test("H8: every refusal has a status, a worker's answer and a row in the README's table", () => {
	const readme = readFileSync(join(root, "README.md"), "utf8");
	expect(Object.keys(refusalAnswer).sort()).toEqual(Object.keys(refusalStatus).sort());
	expect(Object.keys(refusalStatus).filter((reason) => !readme.includes(`\`${reason}\``))).toEqual([]);
});
