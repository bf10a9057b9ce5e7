/**
 * The worker as a pure state machine: `machine(state, event)` gives the next state and what to do. It knows no clock, no network and no file;
 * loop.ts runs the effects and hands their results back as events.
 *
 *   fresh         started, nothing decided. With a credential: connecting, or stopping with 0 for the command `enroll`. Without: enrolling.
 *   enrolling     the enroll call is under way. Enrolled: storing. Held: pending. Refused for now, or no answer: delayed. Refused for good: stopping.
 *   pending       an operator has to decide; asks again, same enrollment id, when the server said. Due: enrolling.
 *   delayed       the server said wait, or could not be reached; waits with full jitter, on top of what the server asked. Due: enrolling.
 *   storing       the credential is being opened and kept. Kept: connecting, or stopping with 0 for the command `enroll`.
 *   connecting    the socket opens. Acknowledged: connected. Closed: checking when that doubts the credential, else reconnecting.
 *   connected     heartbeats, one at a time. Closed: as above.
 *   checking      the server seemed to refuse the credential; an HTTP call finds out whether that was the server at all.
 *                 Believed only after 3 refusals over 2 minutes or more: stopping with 77, files kept. Else: reconnecting.
 *   reconnecting  waits with full jitter. Due: connecting. A worker that another with the same identity replaced 3 times stops with 74.
 *   stopping      the end, with its exit code: SIGTERM and SIGINT lead here from everywhere, with 0. Nothing leads out.
 */
import { absurd } from "../src/lib/absurd.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import type { EnrollReply } from "../src/protocol/operations.ts";
import * as claiming from "./machine-claim.ts";
import * as linking from "./machine-link.ts";

export type Enrolled = Extract<EnrollReply, { readonly __typename: "Enrolled" }>;

/** What is remembered while enrolling. */
export interface Claim {
	/** The command `enroll` ends once the credential is kept; `run` goes on. */
	readonly thenExit: boolean;
	/** Calls in a row that brought no answer, or "wait". */
	readonly failures: number;
	/** A new enrollment id was made once because the old one could not be used; it is not made twice. */
	readonly renewed: boolean;
	/** Why it has not worked yet, for the log and for a time-out's message. */
	readonly why: string;
}

/** What is remembered while reporting. */
export interface Link {
	/** Connections in a row that brought no heartbeat through. */
	readonly failures: number;
	/** Refusals of the credential so far, and when the first was; undefined when the last heartbeat went through. */
	readonly doubt: { readonly refusals: number; readonly sinceMs: number } | undefined;
	/** Times in a row that another worker with this identity took over. */
	readonly replaced: number;
	/** Why the last connection ended; empty at first. */
	readonly why: string;
}

export type State =
	| { readonly kind: "fresh" }
	| { readonly kind: "enrolling" | "pending" | "delayed" | "storing"; readonly claim: Claim }
	| { readonly kind: "connecting" | "reconnecting"; readonly link: Link }
	| { readonly kind: "connected"; readonly link: Link; readonly sinceMs: number }
	| { readonly kind: "checking"; readonly link: Link; readonly refusal: string }
	| { readonly kind: "stopping"; readonly code: number };

export type Event =
	| { readonly kind: "started"; readonly hasCredential: boolean; readonly thenExit: boolean }
	| { readonly kind: "replied"; readonly reply: EnrollReply }
	/** No usable answer; `permanent` when asking again cannot help. */
	| { readonly kind: "unanswered"; readonly why: string; readonly permanent: boolean }
	| { readonly kind: "stored"; readonly workerId: string; readonly name: string; readonly outcome: string }
	/** The sealed credential could not be opened with the reply key. */
	| { readonly kind: "unsealable"; readonly why: string }
	/** What was waited for is over. */
	| { readonly kind: "due" }
	/** `enroll --timeout` has run out. */
	| { readonly kind: "outOfTime" }
	| { readonly kind: "opened"; readonly nowMs: number }
	| {
			readonly kind: "closed";
			readonly code: number;
			readonly why: string;
			readonly upgradeStatus: number | undefined;
			readonly nowMs: number;
	  }
	| { readonly kind: "checked"; readonly verdict: CheckVerdict; readonly nowMs: number }
	| { readonly kind: "beatAnswered"; readonly nextInSeconds: number }
	| { readonly kind: "beatFailed"; readonly why: string }
	| { readonly kind: "signalled"; readonly signal: string }
	/** Something that no waiting can mend, such as a full disk. */
	| { readonly kind: "broken"; readonly code: number; readonly why: string };

/** What the HTTP check of a doubted credential found: the server takes it, the server refuses it, or no Muster answered. */
export type CheckVerdict = "accepted" | "refused" | "unreachable";

export type Effect =
	/** Makes (or with `renew` replaces) the pending enrollment and sends it. */
	| { readonly kind: "enroll"; readonly renew: boolean }
	/** Opens and keeps the credential. */
	| { readonly kind: "store"; readonly enrolled: Enrolled }
	/** Drops the pending enrollment: the server refused it for good. */
	| { readonly kind: "forget" }
	/** Sends `due` after at least this long, plus full jitter that grows with the failures. */
	| { readonly kind: "wait"; readonly seconds: number; readonly failures: number }
	| { readonly kind: "connect" }
	| { readonly kind: "check" }
	/** Sends one heartbeat now. */
	| { readonly kind: "beat" }
	/** Sends one heartbeat after about this long; undefined: the interval last asked for. */
	| { readonly kind: "beatIn"; readonly seconds: number | undefined }
	| {
			readonly kind: "log";
			readonly level: "debug" | "info" | "warn" | "error";
			readonly event: string;
			readonly fields: Readonly<Record<string, unknown>>;
	  }
	/** Hangs up, gives everything back and ends with this code. */
	| { readonly kind: "finish"; readonly code: number };

/** A state with what to do on entering it. */
export type Step = readonly [State, readonly Effect[]];

/** Where every worker begins. */
export const initialState: State = { kind: "fresh" };

/** Takes one step. An event that means nothing in a state (a late answer, a timer called off too late) changes nothing. */
export function machine(state: State, event: Event): Step {
	if (state.kind === "stopping") return [state, []];
	if (event.kind === "signalled") return stop(exitCodes.ok, "info", `${event.signal} received`);
	if (event.kind === "broken") return stop(event.code, "error", event.why);
	switch (state.kind) {
		case "fresh":
			if (event.kind !== "started") return [state, []];
			if (!event.hasCredential) return claiming.start(event.thenExit);
			return event.thenExit ? stop(exitCodes.ok, "info", "already enrolled") : linking.start();
		case "enrolling":
		case "pending":
		case "delayed":
		case "storing":
			return claiming.step(state, event);
		case "connecting":
		case "connected":
		case "checking":
		case "reconnecting":
			return linking.step(state, event);
		default:
			return absurd(state);
	}
}

/** The last step: one line that says why, then the exit code (A16). */
export function stop(code: number, level: "info" | "error", why: string, fields: Readonly<Record<string, unknown>> = {}): Step {
	const line: Effect = { kind: "log", level, event: "worker.stopped", fields: { exitCode: code, ...fields, why } };
	return [{ kind: "stopping", code }, [line, { kind: "finish", code }]];
}
