/** The mesh's part of the machine beyond its table (machine.test.ts): keys, the command `enroll`, and what is told. */
import { describe, expect, test } from "bun:test";
import { machine } from "../../../worker/machine.ts";
import type { Effect, Link, State } from "../../../worker/machine-state.ts";

const entry = { signed: false, again: false };
const link: Link = { again: undefined, entry, failures: 0, doubt: undefined, replaced: 0, why: "" };
const lost = { kind: "meshLost", why: "the node was deleted" } as const;
const joining = (thenExit: boolean, why = ""): State => ({ kind: "joining", link, joining: { thenExit, failures: 0, why } });
const acts = (effects: readonly Effect[]) => effects.filter(({ kind }) => kind !== "log");

describe("a login that the mesh forgot", () => {
	test.each([
		joining(false),
		{ kind: "unjoined", link, joining: { thenExit: false, failures: 1, why: "" } },
		{ kind: "connecting", link },
		{ kind: "connected", link, sinceMs: 0 },
		{ kind: "checking", link, refusal: "" },
		{ kind: "reconnecting", link },
	] as const satisfies readonly State[])("H7: while $kind, a worker with a token hangs up and enrolls anew", (state) => {
		const [next, effects] = machine(state, lost);

		expect(next).toMatchObject({ kind: "enrolling", claim: { thenExit: false, again: false, why: expect.stringContaining("deleted") } });
		expect(acts(effects)).toEqual([{ kind: "hangUp" }, { kind: "enroll", renew: true }]);
	});

	test("H14: without a token it ends with 77 and says who makes a new one", () => {
		const [next, effects] = machine({ kind: "connected", link: { ...link, entry: undefined }, sinceMs: 0 }, lost);

		expect(next).toEqual({ kind: "stopping", code: 77 });
		expect(JSON.stringify(effects)).toContain("regenerateHostToken");
	});

	test("H3: a one-use token that this very process used is no way back in", () => {
		const claim = { thenExit: false, failures: 0, renewed: false, signed: false, corrected: false, resigned: false, again: false, why: "" };
		const stored = { kind: "stored", workerId: "wrk_1", name: "a", outcome: "NEW", mesh: true } as const;
		const [state] = machine({ kind: "storing", claim }, stored);

		expect(machine(state, lost)[0]).toEqual({ kind: "stopping", code: 77 });
	});
});

describe("the command enroll", () => {
	test("A16 H7: ends with 0 once this host is on the mesh, not before: the key for it lives for minutes only", () => {
		const [, begun] = machine(joining(true), { kind: "meshFailed", why: "no answer" });
		const [next] = machine(joining(true), { kind: "meshJoined", addresses: ["100.64.0.2"], nodeName: "a" });

		expect(acts(begun)).toEqual([{ kind: "wait", seconds: 0, failures: 0 }]);
		expect(next).toEqual({ kind: "stopping", code: 0 });
	});

	test("A16: out of time before that, it ends with 75 and says what it waits for", () => {
		const [next, effects] = machine(joining(true, "control is down"), { kind: "outOfTime" });

		expect(next).toEqual({ kind: "stopping", code: 75 });
		expect(JSON.stringify(effects)).toContain("control is down");
	});
});

test("A16: the same trouble again is no second line, and the waits grow", () => {
	const failed = { kind: "meshFailed", why: "no answer" } as const;
	const [first, one] = machine(joining(false), failed);
	const [second] = machine(first, { kind: "due" });
	const [, two] = machine(second, failed);

	expect([...one, ...two].flatMap((effect) => (effect.kind === "log" ? [effect.level] : []))).toEqual(["warn", "debug"]);
	expect(acts(two)).toEqual([{ kind: "wait", seconds: 0, failures: 1 }]);
});
