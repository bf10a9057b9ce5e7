import { describe, expect, test } from "bun:test";
import { decide } from "../../../src/enrollment/decide.ts";
import { facts, key, now, prior, request, worker } from "./builders.ts";
import { keyLife, machine, type Row, scope } from "./rows.ts";
import { meshKeys } from "./rows-mesh.ts";
import { repeats } from "./rows-repeat.ts";
import { autoEnrollment, hostTokens, settled } from "./rows-ways.ts";

function holds(rows: readonly Row[]): void {
	for (const row of rows) {
		test(row.name, () => {
			const verdict = decide(row.facts, row.request, now);
			if (typeof row.verdict === "string") expect(verdict).toMatchObject({ kind: "refuse", why: row.verdict });
			else expect(verdict).toEqual(row.verdict);
		});
	}
}

describe("the key's life decides first (B3, S2, S3, H8)", () => holds(keyLife));
describe("scope and the requested id (H3, A7)", () => holds(scope));
describe("what is known of the machine (S4, S5, S8)", () => holds(machine));
describe("the same enrollment again (G6)", () => holds(repeats));

describe("auto-enrollment (A1, A2, A4, A6)", () => holds(autoEnrollment));

describe("host tokens (H1, H3, H14)", () => holds(hostTokens));

describe("the mesh key that goes with a verdict (H6)", () => holds(meshKeys));

describe("settled claimants (S5)", () => holds(settled));

test("no row of the table is there twice", () => {
	const names = [...keyLife, ...scope, ...machine, ...repeats, ...autoEnrollment, ...hostTokens, ...meshKeys, ...settled].map(
		({ name }) => name,
	);
	expect(new Set(names).size).toBe(names.length);
});

describe("a refusal's text names what was wrong and the remedy", () => {
	const cases = [
		[facts({ key: key({ active: false }) }), request(), "ask for the current one"],
		[facts({ sourceAllowed: false }), request(), "192.0.2.1"],
		[facts({ key: key({ maxUses: 7, uses: 7 }) }), request(), "7 use(s)"],
		[facts({ key: key({ kind: "host" }), host: { name: "other", worker: undefined } }), request(), `"other", not "name-a"`],
		[facts({ requested: worker({ id: "mine", machineUid: "uid-b" }) }), request({}, { requestedId: "mine" }), `"mine"`],
		[facts({ prior: prior() }), request({ keyId: "key_b" }), "make a new enrollment id"],
	] as const;
	test.each(cases)("case %#", (given, asked, part) => {
		const verdict = decide(given, asked, now);
		expect(verdict.kind === "refuse" ? verdict.detail : verdict.kind).toContain(part);
	});
});
