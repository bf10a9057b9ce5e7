import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type Refusal, refusalAnswer, refusals } from "../../../src/protocol/codes.ts";
import { machine } from "../../../worker/machine.ts";
import type { Claim, Effect, Event, State } from "../../../worker/machine-state.ts";

const serverTime = "2026-11-21T05:00:00.000Z";
const rejected = (reason: Refusal, at = serverTime): Event => ({
	kind: "replied",
	reply: { __typename: "EnrollmentRejected", reason, message: `no: ${reason}`, retryAfterSeconds: null, serverTime: at },
});
const events = {
	skew: rejected("clock_skew"),
	replayed: rejected("replayed"),
	busy: rejected("overloaded"),
	held: { kind: "replied", reply: { __typename: "EnrollmentPending", workerId: "wrk_1", reason: "COLLISION", retryAfterSeconds: 9 } },
	lost: { kind: "unanswered", why: "nobody there", permanent: false },
	due: { kind: "due" },
} as const satisfies Record<string, Event>;
type Name = keyof typeof events;

function begin(signed: boolean): State {
	return machine({ kind: "fresh" }, { kind: "started", hasCredential: false, thenExit: false, signed, again: false })[0];
}

/** Plays events from the start: the state at the end, all effects that do something, and all log lines. */
function play(
	signed: boolean,
	names: readonly Name[],
): { readonly end: State; readonly acts: readonly string[]; readonly lines: Effect[] } {
	let state = begin(signed);
	const acts: string[] = [];
	const lines: Effect[] = [];
	for (const name of names) {
		const [next, effects] = machine(state, events[name]);
		state = next;
		for (const effect of effects) {
			if (effect.kind === "log") lines.push(effect);
			else acts.push(effect.kind === "enroll" && effect.renew ? "enroll anew" : effect.kind);
		}
	}
	return { end: state, acts, lines };
}

describe("a signed call", () => {
	const table: readonly (readonly [string, readonly Name[], string, readonly string[]])[] = [
		["A6: a refused time is corrected by the server's, once", ["skew"], "enrolling", ["correctClock", "enroll"]],
		["A6: a second refused time is believed", ["skew", "skew"], "stopping 77", ["correctClock", "enroll", "finish"]],
		["A6: a seen nonce is replaced, in the same enrollment", ["replayed"], "enrolling", ["enroll"]],
		["A6: a second seen nonce is believed", ["replayed", "replayed"], "stopping 77", ["enroll", "forget", "finish"]],
		["A6: time and nonce may each be mended once", ["skew", "replayed"], "enrolling", ["correctClock", "enroll", "enroll"]],
		[
			"A6: mending the nonce does not allow a second correction of the time",
			["skew", "replayed", "skew"],
			"stopping 77",
			["correctClock", "enroll", "enroll", "finish"],
		],
		[
			"A6: nor the other way round",
			["replayed", "skew", "replayed"],
			"stopping 77",
			["enroll", "correctClock", "enroll", "forget", "finish"],
		],
		...(["busy", "held", "lost"] as const).map(
			(name) =>
				[
					`A6: after a wait (${name}) the time may be corrected again, since the machine's clock may have been set`,
					["skew", name, "due", "skew"],
					"enrolling",
					["correctClock", "enroll", "wait", "enroll", "correctClock", "enroll"],
				] as const,
		),
	];
	test.each(table)("%s", (_, names, state, acts) => {
		const { end, acts: done } = play(true, names);

		expect(end.kind === "stopping" ? `stopping ${end.code}` : end.kind).toBe(state);
		expect(done).toEqual([...acts]);
	});

	test("A6: the correction is by the time that the reply gave", () => {
		const [, effects] = machine(begin(true), events.skew);

		expect(effects).toContainEqual({ kind: "correctClock", serverMs: Date.parse(serverTime) });
	});

	test("A6: a server time that is none ends it at once, instead of a correction by nonsense", () => {
		const [next] = machine(begin(true), rejected("clock_skew", "noon"));

		expect(next).toEqual({ kind: "stopping", code: 77 });
	});

	test("A6 A16: the last line says why, what the server's time is, and the remedy", () => {
		const { lines } = play(true, ["skew", "skew"]);

		expect(lines.at(-1)).toMatchObject({ event: "worker.stopped", fields: { exitCode: 77, reason: "clock_skew" } });
		expect(JSON.stringify(lines.at(-1))).toMatch(/no: clock_skew .*2026-11-21T05:00:00.000Z.* correct this machine's clock/);
	});

	test("A6: whatever is answered, at most two calls go out at a stretch that were not told to wait, beside the first", () => {
		fc.assert(
			fc.property(fc.array(fc.constantFrom(...(Object.keys(events) as Name[])), { maxLength: 40 }), (names) => {
				const { acts } = play(true, names);
				for (const stretch of acts.join(" ").split("wait")) {
					expect(stretch.split(" ").filter((act) => act === "enroll").length).toBeLessThanOrEqual(3);
				}
			}),
		);
	});
});

describe("a call with a key that is sent", () => {
	test("H8: replayed makes a new enrollment, once; the second time it is believed", () => {
		expect(play(false, ["replayed"]).acts).toEqual(["enroll anew"]);
		expect(play(false, ["replayed", "busy", "due", "replayed"])).toMatchObject({ end: { kind: "stopping", code: 77 } });
	});

	test("H8: a refused time is believed: the call carries none that could be corrected", () => {
		expect(play(false, ["skew"])).toMatchObject({ end: { kind: "stopping", code: 77 }, acts: ["forget", "finish"] });
	});
});

describe("A16: the log carries the code of every refusal", () => {
	for (const signed of [true, false]) {
		test.each(refusals.map((reason) => [reason]))(`${signed ? "signed" : "sent"}: %s`, (reason) => {
			const claim: Claim = { ...claimOf(begin(signed)), corrected: false };
			const [, effects] = machine({ kind: "enrolling", claim }, rejected(reason));
			const lines = effects.flatMap((effect) => (effect.kind === "log" ? [effect] : []));

			expect(lines).toHaveLength(1);
			expect(lines[0]).toMatchObject({ level: refusalAnswer[reason] === "stop" ? "error" : expect.any(String), fields: { reason } });
		});
	}
});

function claimOf(state: State): Claim {
	if (!("claim" in state)) throw new Error(`"${state.kind}" holds no claim`);
	return state.claim;
}
