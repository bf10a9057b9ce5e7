import { expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { NoUnusedFragmentsRule, parse, specifiedRules, validate } from "graphql";
import { buildDashboard, pageBytesMax } from "../../scripts/build-dashboard.ts";
import { schema } from "../../src/graphql/schema.ts";
import { root, sources } from "./tree.ts";

const files = sources("dashboard");
const folder = (path: string) => path.split("/").slice(1, -1).join("/");

/** Every document that the page can send, by the name it is exported under. */
async function documents(): Promise<readonly (readonly [string, string])[]> {
	const names = readdirSync(join(root, "dashboard", "operations"));
	const modules = await Promise.all(
		names.map((name) => import(join(root, "dashboard", "operations", name)) as Promise<Record<string, unknown>>),
	);
	return modules.flatMap((module) => Object.entries(module).map(([name, text]) => [name, String(text)] as const));
}

test("S12: every operation of the dashboard is one that this server's schema knows", async () => {
	const all = await documents();
	expect(all.length).toBeGreaterThan(20);
	// A fragment by itself is there to be used by others.
	const rules = specifiedRules.filter((rule) => rule !== NoUnusedFragmentsRule);
	expect(all.flatMap(([name, text]) => validate(schema, parse(text), rules).map(({ message }) => `${name}: ${message}`))).toEqual([]);
});

test("S12: documents stand in dashboard/operations, and nothing but api/ speaks to the server", () => {
	expect(files.filter(({ path, code }) => folder(path) !== "operations" && /\bgraphql\(/.test(code)).map(({ path }) => path)).toEqual([]);
	expect(
		files
			.filter(({ path, code }) => folder(path) !== "api" && /\bfetch\(|\bWebSocket\b|\bEventSource\b/.test(code))
			.map(({ path }) => path),
	).toEqual([]);
});

test("S12: the page shares nothing with server or worker, and knows no runtime", () => {
	const outside = files.flatMap(({ path, imports }) =>
		imports.filter((imported) => !imported.startsWith("dashboard/")).map((imported) => `${path} imports ${imported}`),
	);
	expect(outside).toEqual([]);
	expect(files.filter(({ code }) => /\b(Bun|Deno|process)\b/.test(code)).map(({ path }) => path)).toEqual([]);
});

test("S12: imports go one way: lib, api, operations, parts, pages, the frame", () => {
	const order = ["lib", "api", "operations", "parts", "pages", ""];
	// Words are typed by the operations they are about: types only, nothing is loaded.
	const faults = files.flatMap(({ path, imports }) =>
		imports.flatMap((imported) => {
			const [from, to] = [order.indexOf(folder(path)), order.indexOf(folder(imported))];
			if (to <= from || path === "dashboard/lib/words.ts") return [];
			return [`${path} imports ${imported}`];
		}),
	);
	expect(faults).toEqual([]);
});

test("S12: nothing sets HTML from text: the page's policy forbids it, and so does this", () => {
	expect(
		files.filter(({ code }) => /dangerouslySetInnerHTML|innerHTML|\beval\(|new Function\(/.test(code)).map(({ path }) => path),
	).toEqual([]);
});

test("S12: the whole page weighs less than 60 KB compressed", async () => {
	const { zippedBytes } = await buildDashboard();
	expect(zippedBytes).toBeLessThan(pageBytesMax);
	const built = readdirSync(join(root, "dist", "dashboard")).filter((name) => name.endsWith(".gz"));
	expect(built.length).toBeGreaterThanOrEqual(3);
	for (const name of built) expect(statSync(join(root, "dist", "dashboard", name)).size).toBeLessThan(pageBytesMax);
});
