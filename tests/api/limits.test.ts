import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { graphql } from "../support/muster.ts";
import { type Bench, onEachRuntime } from "./support.ts";

/** The selections that the README shows in running text, as whole queries. */
function shownInReadme(): readonly string[] {
	const text = readFileSync(join(import.meta.dirname, "..", "..", "README.md"), "utf8").replace(/\s+/g, " ");
	const shown = [...text.matchAll(/`((?:webhooks|alerts\(|host|worker) ?[^`]*\}[^`]*)`/g)].map(([, query = ""]) => query);
	return shown.map((query) => {
		if (query.startsWith("host {")) return `{ hosts { nodes ${query.slice(5)} } }`;
		return query.startsWith("worker {") ? `{ workers { nodes ${query.slice(7)} } }` : `{ ${query} }`;
	});
}

onEachRuntime("what one operation may ask for", (bench: Bench) => {
	const ask = (query: string) => graphql(bench.server, query, {}, { authorization: `Bearer ${bench.server.adminToken}` });

	test("every query that the README shows is within it, for a page of the default size", async () => {
		const queries = shownInReadme();
		expect(queries.length).toBeGreaterThanOrEqual(3);
		for (const query of queries) expect([query, (await ask(query)).errors]).toEqual([query, []]);
	});

	test("a page counts its rows once, however it lists them; past the limit the error names limit and measure (G1)", async () => {
		const fields = "id name hostname machineUid state method version platform createdAt online";
		for (const list of [`nodes { ${fields} }`, `edges { node { ${fields} } }`]) {
			expect((await ask(`{ workers(first: 200) { ${list} } }`)).errors).toEqual([]);
			const nested = list.replace("id name", "id history { at load1 } name");
			expect((await ask(`{ workers(first: 200) { ${nested} } }`)).errors[0]).toMatchObject({
				message: expect.stringMatching(/complexity is \d+, more than 20000/),
				extensions: { code: "BAD_USER_INPUT" },
			});
		}
	});
});
