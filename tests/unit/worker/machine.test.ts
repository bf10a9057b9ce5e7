import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type Refusal, refusalAnswer, refusals } from "../../../src/protocol/codes.ts";
import { machine } from "../../../worker/machine.ts";
import type { Claim, Effect, Enrolled, Event, Link, State } from "../../../worker/machine-state.ts";

const claim: Claim = {
	thenExit: false,
	failures: 0,
	renewed: false,
	signed: false,
	corrected: false,
	resigned: false,
	again: false,
	why: "no answer yet",
};
const link: Link = { again: undefined, entry: undefined, failures: 0, doubt: undefined, replaced: 0, why: "" };
const enrolled: Enrolled = {
	__typename: "Enrolled",
	workerId: "wrk_1",
	hostId: "host_1",
	name: "edge-1",
	outcome: "NEW",
	apiKey: null,
	sealedApiKey: "sealed",
	serverAddress: null,
	heartbeatIntervalSeconds: 15,
	mesh: null,
};

const states: readonly State[] = [
	{ kind: "fresh" },
	...(["enrolling", "pending", "delayed", "storing"] as const).map((kind) => ({ kind, claim })),
	...(["joining", "unjoined"] as const).map((kind) => ({ kind, link, joining: { thenExit: false, failures: 0, why: "" } })),
	...(["connecting", "reconnecting"] as const).map((kind) => ({ kind, link })),
	{ kind: "connected", link, sinceMs: 0 },
	{ kind: "checking", link, refusal: "refused" },
	{ kind: "stopping", code: 0 },
];

const closed = (code: number, upgradeStatus?: number, nowMs = 0): Event => ({
	kind: "closed",
	code,
	why: `closed ${code}`,
	upgradeStatus,
	nowMs,
});
const rejected = (reason: Refusal): Event => ({
	kind: "replied",
	reply: { __typename: "EnrollmentRejected", reason, message: "no", retryAfterSeconds: 7, serverTime: "2026-11-21T00:00:00Z" },
});
const held: Event = {
	kind: "replied",
	reply: { __typename: "EnrollmentPending", workerId: "wrk_1", reason: "COLLISION", retryAfterSeconds: 9 },
};
const unanswered: Event = { kind: "unanswered", why: "nobody there", permanent: false };

const events = {
	"started, no credential": { kind: "started", hasCredential: false, thenExit: false, signed: false, again: false },
	"started, credential": { kind: "started", hasCredential: true, thenExit: false, signed: false, again: false },
	"started, credential, enroll": { kind: "started", hasCredential: true, thenExit: true, signed: false, again: false },
	enrolled: { kind: "replied", reply: enrolled },
	held,
	"refused for good": rejected("expired"),
	"refused for now": rejected("overloaded"),
	replayed: rejected("replayed"),
	unanswered,
	"unanswered for good": { kind: "unanswered", why: "no such field", permanent: true },
	stored: { kind: "stored", workerId: "wrk_1", name: "edge-1", outcome: "NEW" },
	"started, credential, mesh": { kind: "started", hasCredential: true, thenExit: false, signed: false, again: false, mesh: true },
	"stored, mesh": { kind: "stored", workerId: "wrk_1", name: "edge-1", outcome: "NEW", mesh: true },
	"mesh joined": { kind: "meshJoined", addresses: ["100.64.0.2"], nodeName: "edge-1" },
	"mesh failed": { kind: "meshFailed", why: "no answer" },
	"mesh lost": { kind: "meshLost", why: "deleted" },
	unsealable: { kind: "unsealable", why: "wrong key" },
	due: { kind: "due" },
	"out of time": { kind: "outOfTime" },
	opened: { kind: "opened", nowMs: 5 },
	"closed 1006": closed(1006),
	"closed 1001": closed(1001),
	"closed 4401": closed(4401),
	"closed 4403": closed(4403),
	"closed 4413": closed(4413),
	"closed 4423": closed(4423),
	"closed 4424": closed(4424),
	"upgrade 401": closed(1006, 401),
	"upgrade 503": closed(1006, 503),
	"checked: accepted": { kind: "checked", verdict: "accepted", nowMs: 0 },
	"checked: refused": { kind: "checked", verdict: "refused", nowMs: 0 },
	"checked: unreachable": { kind: "checked", verdict: "unreachable", nowMs: 0 },
	"beat answered": { kind: "beatAnswered", nextInSeconds: 3 },
	"beat failed": { kind: "beatFailed", why: "later" },
	signalled: { kind: "signalled", signal: "SIGTERM" },
	broken: { kind: "broken", code: 73, why: "disk full" },
} as const satisfies Record<string, Event>;

/** State and event to the next state and the effects that do something. What is not listed changes nothing. */
const table: Readonly<Record<string, Readonly<Partial<Record<keyof typeof events, string>>>>> = {
	fresh: {
		"started, no credential": "enrolling: enroll",
		"started, credential": "connecting: connect",
		"started, credential, enroll": "stopping 0: finish",
		"started, credential, mesh": "joining: join",
	},
	joining: { "mesh joined": "connecting: connect", "mesh failed": "unjoined: wait 0", "mesh lost": "stopping 77: finish" },
	unjoined: { due: "joining: join", "mesh lost": "stopping 77: finish" },
	enrolling: {
		enrolled: "storing: store",
		held: "pending: wait 9",
		"refused for good": "stopping 77: forget, finish",
		"refused for now": "delayed: wait 7",
		replayed: "enrolling: enroll anew",
		unanswered: "delayed: wait 0",
		"unanswered for good": "stopping 64: finish",
	},
	pending: { due: "enrolling: enroll" },
	delayed: { due: "enrolling: enroll" },
	storing: { stored: "connecting: connect", "stored, mesh": "joining: join", unsealable: "enrolling: enroll anew" },
	connecting: {
		"mesh lost": "stopping 77: finish",
		opened: "connected: beat",
		"closed 1006": "reconnecting: wait 0",
		"closed 1001": "reconnecting: wait 0",
		"closed 4401": "checking: check",
		"closed 4403": "checking: check",
		"closed 4413": "reconnecting: wait 0",
		"closed 4423": "checking: check",
		"closed 4424": "reconnecting: wait 30",
		"upgrade 401": "checking: check",
		"upgrade 503": "reconnecting: wait 0",
	},
	connected: {
		"mesh lost": "stopping 77: finish",
		due: "connected: beat",
		"beat answered": "connected: beat in 3",
		"beat failed": "connected: beat in default",
		"closed 1006": "reconnecting: wait 0",
		"closed 1001": "reconnecting: wait 0",
		"closed 4401": "checking: check",
		"closed 4403": "checking: check",
		"closed 4413": "reconnecting: wait 0",
		"closed 4423": "checking: check",
		"closed 4424": "reconnecting: wait 30",
		"upgrade 401": "checking: check",
		"upgrade 503": "reconnecting: wait 0",
	},
	checking: {
		"mesh lost": "stopping 77: finish",
		"checked: accepted": "reconnecting: wait 60",
		"checked: refused": "reconnecting: wait 60",
		"checked: unreachable": "reconnecting: wait 0",
	},
	reconnecting: { due: "connecting: connect", "mesh lost": "stopping 77: finish" },
	stopping: {},
};

describe("the whole table", () => {
	for (const state of states) {
		for (const [name, event] of Object.entries(events)) {
			const everywhere = state.kind === "stopping" ? {} : { signalled: "stopping 0: finish", broken: "stopping 73: finish" };
			const row: Readonly<Record<string, string | undefined>> = { ...table[state.kind], ...everywhere };
			const wanted = row[name];
			test(`${state.kind}, ${name}: ${wanted ?? "nothing changes"}`, () => {
				const [next, effects] = machine(state, event);

				if (wanted === undefined) expect([next, effects]).toEqual([state, []]);
				else expect(describeStep(next, effects)).toBe(wanted);
			});
		}
	}
});

describe("refusals", () => {
	for (const reason of refusals) {
		test(`H8: ${reason} makes the worker ${refusalAnswer[reason]}`, () => {
			const [next] = machine({ kind: "enrolling", claim }, rejected(reason));

			const code = reason === "bad_request" ? 64 : 77;
			const wanted = { stop: `stopping ${code}`, wait: "delayed", "new-nonce": "enrolling", "correct-clock": "stopping 77" };
			expect(describeState(next)).toBe(wanted[refusalAnswer[reason]]);
		});
	}

	test("H8: a second replayed is believed", () => {
		const [next] = machine({ kind: "enrolling", claim: { ...claim, renewed: true } }, rejected("replayed"));

		expect(next).toEqual({ kind: "stopping", code: 77 });
	});

	test("G6: a credential that cannot be opened twice is a fault, not a loop", () => {
		const [next] = machine({ kind: "storing", claim: { ...claim, renewed: true } }, events.unsealable);

		expect(next).toEqual({ kind: "stopping", code: 70 });
	});
});

describe("the command enroll", () => {
	const once: Claim = { ...claim, thenExit: true, why: "nobody there" };

	test("A16: ends with 0 once the credential is kept", () => {
		const [next] = machine({ kind: "storing", claim: once }, events.stored);

		expect(next).toEqual({ kind: "stopping", code: 0 });
	});

	test.each(["enrolling", "pending", "delayed", "storing"] as const)("A16: out of time while %s, it ends with 75 and says why", (kind) => {
		const [next, effects] = machine({ kind, claim: once }, events["out of time"]);

		expect(next).toEqual({ kind: "stopping", code: 75 });
		expect(JSON.stringify(effects)).toContain("nobody there");
	});
});

describe("two workers with one identity", () => {
	test("H9: replaced three times in a row, the worker stops with 74 and says what to do", () => {
		const [next, effects] = machine({ kind: "connected", link: { ...link, replaced: 2 }, sinceMs: 0 }, closed(4424, undefined, 1_000));

		expect(next).toEqual({ kind: "stopping", code: 74 });
		expect(JSON.stringify(effects)).toContain("stop one of the two");
	});

	test("H9: ten undisputed minutes clear the count", () => {
		const [next] = machine({ kind: "connected", link: { ...link, replaced: 2 }, sinceMs: 0 }, closed(4424, undefined, 600_000));

		expect(next).toMatchObject({ kind: "reconnecting", link: { replaced: 1 } });
	});
});

test("A16: the same reason again is no second line, a new one is", () => {
	const levels: string[] = [];
	let state: State = { kind: "enrolling", claim };
	for (const why of ["a", "a", "b"]) {
		const [next, effects] = machine(state, { kind: "unanswered", why, permanent: false });
		levels.push(...effects.flatMap((effect) => (effect.kind === "log" ? [effect.level] : [])));
		[state] = machine(next, { kind: "due" });
	}

	expect(levels).toEqual(["warn", "debug", "warn"]);
});

test("whatever happens: the end is final, comes with its one line and its code, and nothing is done after it", () => {
	fc.assert(
		fc.property(fc.array(fc.constantFrom(...Object.values(events)), { maxLength: 40 }), (sequence) => {
			let state: State = { kind: "fresh" };
			const done: Effect[] = [];
			for (const event of sequence) {
				const [next, effects] = machine(state, event);
				if (state.kind === "stopping") expect([next, effects]).toEqual([state, []]);
				state = next;
				done.push(...effects);
			}
			const ends = done.filter((effect) => effect.kind === "finish");
			expect(ends).toEqual(state.kind === "stopping" ? [{ kind: "finish", code: state.code }] : []);
		}),
	);
});

function describeStep(state: State, effects: readonly Effect[]): string {
	const acts = effects.filter((effect) => effect.kind !== "log").map(describeEffect);
	return `${describeState(state)}: ${acts.join(", ")}`;
}

function describeState(state: State): string {
	return state.kind === "stopping" ? `stopping ${state.code}` : state.kind;
}

function describeEffect(effect: Effect): string {
	if (effect.kind === "wait") return `wait ${effect.seconds}`;
	if (effect.kind === "beatIn") return `beat in ${effect.seconds ?? "default"}`;
	return effect.kind === "enroll" && effect.renew ? "enroll anew" : effect.kind;
}
