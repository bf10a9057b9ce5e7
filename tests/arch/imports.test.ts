import { expect, test } from "bun:test";
import { type SourceFile, sources } from "./tree.ts";

const files = sources("src", "worker");
const leaves = ["lib", "protocol", "engine"];
const shells = ["graphql", "http", "runtime"];

/** The folder that decides what a file may import: `src/<folder>`, `worker`, or `src` for the composition root. */
function layer(path: string): string {
	const [top = "", folder = "", ...rest] = path.split("/");
	if (top === "worker") return "worker";
	return rest.length === 0 ? "root" : folder;
}

/** Why an import is against the direction, undefined when it is with it. */
function fault(file: SourceFile, imported: string): string | undefined {
	const [from, to] = [layer(file.path), layer(imported)];
	if (from === to) return undefined;
	if (from === "worker") return leaves.includes(to) ? undefined : "the worker shares src/engine, src/protocol and src/lib only";
	if (to === "worker") return "the server does not know the worker";
	if (from === "lib") return "lib is a leaf";
	if (from === "protocol") return to === "lib" ? undefined : "protocol imports lib only";
	if (from === "engine") return ["lib", "protocol"].includes(to) ? undefined : "engine imports lib and protocol only";
	if (from === "root") return undefined;
	if (!shells.includes(from) && shells.includes(to)) {
		// A port's types may be named by the one who describes an address.
		return `the domain does not know ${to}`;
	}
	if (from === "runtime" && to === "graphql") return "the runtime does not know the schema";
	if (to === "root" && !["src/errors.ts", "src/deps.ts", "src/input.ts"].includes(imported))
		return "only errors, deps and input are shared from the root";
	return undefined;
}

test("imports go one way: lib, protocol, engine, domain, graphql and http, runtime, main", () => {
	const faults = files.flatMap((file) =>
		file.imports.flatMap((imported) => {
			const why = fault(file, imported);
			return why === undefined ? [] : [`${file.path} imports ${imported}: ${why}`];
		}),
	);
	expect(faults).toEqual([]);
});

test("no two files import each other round about: a cycle makes the order of loading matter", () => {
	const graph = new Map(files.map((file) => [file.path, withoutTypes(file)]));
	const cycles = [...graph.keys()].filter((path) => reaches(graph, path, path));
	expect(cycles).toEqual([]);
});

test("only the two adapters, the entries and the build name a runtime (G2)", () => {
	const allowed = /^(src\/runtime\/(bun|deno|select)\.ts|worker\/build\.ts)$/;
	const named = files.filter(({ path, code }) => !allowed.test(path) && /\b(Bun|Deno)\b/.test(code)).map(({ path }) => path);
	expect(named).toEqual([]);
});

test("only the adapters and the entry files read the process: no module reads the environment on import", () => {
	const allowed =
		/^(src\/runtime\/(bun|deno)\.ts|src\/main\.ts|worker\/(main|build|start|fatal|lock|facts|status|machine-uid|mesh-daemon|mesh-tools|disk|state-dir)\.ts)$/;
	const named = files.filter(({ path, code }) => !allowed.test(path) && /\bprocess\s*\./.test(code)).map(({ path }) => path);
	expect(named).toEqual([]);
});

test("SQL stands in stores and in src/db only", () => {
	const allowed = /^src\/(db\/.*|.*store\.ts|events\/(outbox|postgres-bus)\.ts)$/;
	const speaking = files.filter(({ path, code }) => !allowed.test(path) && /\b(sql|tx)`/.test(code)).map(({ path }) => path);
	expect(speaking).toEqual([]);
});

test("a bounded step takes no more than its bound: a sub-select with a limit under lock may be run once a row", () => {
	const unbounded = files
		.filter(({ text }) => /\bin \(\s*select[^`;]*?limit \$\{[^}]*\}\s+for (no key )?update/i.test(text))
		.map(({ path }) => path);
	expect(unbounded).toEqual([]);
});

test("only src/db loads the PostgreSQL driver", () => {
	const loading = files.filter(({ path, text }) => !path.startsWith("src/db/") && /from "postgres"/.test(text)).map(({ path }) => path);
	expect(loading).toEqual([]);
});

test("decide, lifecycle and tail are pure: they load nothing but types and the exhaustiveness check", () => {
	for (const path of ["src/enrollment/decide.ts", "src/hosts/lifecycle.ts", "src/commands/lifecycle.ts", "src/events/tail.ts"]) {
		const file = files.find((one) => one.path === path);
		expect(file === undefined ? [path] : withoutTypes(file).filter((imported) => imported !== "src/lib/absurd.ts")).toEqual([]);
	}
});

test("time comes from the clock port: nothing in the domain calls Date.now", () => {
	const allowed = /^(src\/lib\/clock\.ts|worker\/build\.ts)$/;
	const calling = files.filter(({ path, code }) => !allowed.test(path) && /\bDate\.now\(|new Date\(\)/.test(code)).map(({ path }) => path);
	expect(calling).toEqual([]);
});

function withoutTypes({ text, imports }: SourceFile): readonly string[] {
	const typeOnly = new Set([...text.matchAll(/import type [^;]*? from "(\.[^"]+)"/g)].map((match) => match[1]?.split("/").at(-1)));
	const valued = new Set([...text.matchAll(/(?:import|export) (?!type )[^;]*?"(\.[^"]+)"/g)].map((match) => match[1]?.split("/").at(-1)));
	return imports.filter((path) => {
		const name = path.split("/").at(-1);
		return valued.has(name) || !typeOnly.has(name);
	});
}

function reaches(graph: ReadonlyMap<string, readonly string[]>, from: string, goal: string): boolean {
	const seen = new Set<string>();
	const open = [...(graph.get(from) ?? [])];
	for (let path = open.pop(); path !== undefined; path = open.pop()) {
		if (path === goal) return true;
		if (seen.has(path)) continue;
		seen.add(path);
		open.push(...(graph.get(path) ?? []));
	}
	return false;
}
