/** The half of the state machine that gets a credential (machine.ts names the states). */
import { absurd } from "../src/lib/absurd.ts";
import { exitCodes, type Refusal, refusalAnswer } from "../src/protocol/codes.ts";
import type { EnrollReply } from "../src/protocol/operations.ts";
import { type Claim, type Effect, type Event, type State, type Step, stop } from "./machine-state.ts";
import * as linking from "./machine-link.ts";

type ClaimState = Extract<State, { readonly claim: Claim }>;
type Rejected = Extract<EnrollReply, { readonly __typename: "EnrollmentRejected" }>;

/** Begins to enroll. */
export function start(thenExit: boolean): Step {
	const claim: Claim = { thenExit, failures: 0, renewed: false, why: "no answer yet" };
	return [{ kind: "enrolling", claim }, [{ kind: "enroll", renew: false }]];
}

/** One step of a worker that has no credential yet. */
export function step(state: ClaimState, event: Event): Step {
	const { claim } = state;
	if (event.kind === "outOfTime" && claim.thenExit) {
		return stop(exitCodes.temporary, "error", `Not enrolled in time: ${claim.why}, run enroll again to go on with the same enrollment`);
	}
	switch (state.kind) {
		case "enrolling":
			return answered(state, event);
		case "pending":
		case "delayed":
			return event.kind === "due" ? [{ kind: "enrolling", claim }, [{ kind: "enroll", renew: false }]] : [state, []];
		case "storing":
			return kept(state, event);
		default:
			return absurd(state.kind);
	}
}

function answered(state: ClaimState, event: Event): Step {
	const { claim } = state;
	if (event.kind === "unanswered") {
		if (event.permanent) return stop(exitCodes.usage, "error", event.why, { reason: "bad_request" });
		return delay(claim, 0, event.why, "enrollment.unanswered", {});
	}
	if (event.kind !== "replied") return [state, []];
	const { reply } = event;
	switch (reply.__typename) {
		case "Enrolled":
			return [{ kind: "storing", claim }, [{ kind: "store", enrolled: reply }]];
		case "EnrollmentPending":
			return hold(claim, reply.reason, reply.workerId, reply.retryAfterSeconds);
		case "EnrollmentRejected":
			return rejected(claim, reply);
		default:
			return absurd(reply);
	}
}

function hold(claim: Claim, reason: string, workerId: string, seconds: number): Step {
	const why =
		reason === "COLLISION"
			? "another machine seems to run as this one, an operator has to decide"
			: "an operator has to approve this worker";
	const next: Claim = { ...claim, failures: 0, why };
	return [
		{ kind: "pending", claim: next },
		[...told(claim, why, "enrollment.held", { reason, workerId }), { kind: "wait", seconds, failures: 0 }],
	];
}

function rejected(claim: Claim, { reason, message, retryAfterSeconds }: Rejected): Step {
	switch (refusalAnswer[reason]) {
		case "wait":
			return delay(claim, retryAfterSeconds ?? 0, message, "enrollment.refused", { reason, retryAfterSeconds });
		case "new-nonce":
			return claim.renewed ? refuse(reason, message) : renew(claim, message);
		case "stop":
		// The clock can only be corrected where the proof carries a time, which none of this version's keys do.
		case "correct-clock":
			return refuse(reason, message);
	}
}

function refuse(reason: Refusal, message: string): Step {
	const [state, effects] = stop(reason === "bad_request" ? exitCodes.usage : exitCodes.noPermission, "error", message, { reason });
	return [state, [{ kind: "forget" }, ...effects]];
}

function renew(claim: Claim, why: string): Step {
	const next: Claim = { ...claim, renewed: true, why };
	return [{ kind: "enrolling", claim: next }, [...told(claim, why, "enrollment.renewed", {}), { kind: "enroll", renew: true }]];
}

function delay(claim: Claim, seconds: number, why: string, event: string, fields: Readonly<Record<string, unknown>>): Step {
	const next: Claim = { ...claim, failures: claim.failures + 1, why };
	return [{ kind: "delayed", claim: next }, [...told(claim, why, event, fields), { kind: "wait", seconds, failures: claim.failures }]];
}

function kept(state: ClaimState, event: Event): Step {
	const { claim } = state;
	if (event.kind === "unsealable") {
		return claim.renewed ? stop(exitCodes.software, "error", event.why) : renew(claim, event.why);
	}
	if (event.kind !== "stored") return [state, []];
	const { workerId, name, outcome } = event;
	const line: Effect = { kind: "log", level: "info", event: "worker.enrolled", fields: { workerId, name, outcome } };
	const [next, effects] = claim.thenExit ? stop(exitCodes.ok, "info", "enrolled") : linking.start();
	return [next, [line, ...effects]];
}

/** One line when the reason is new; the same reason again is only for the curious, so that an outage does not fill the log. */
function told(claim: Claim, why: string, event: string, fields: Readonly<Record<string, unknown>>): readonly Effect[] {
	return [{ kind: "log", level: claim.why === why ? "debug" : "warn", event, fields: { ...fields, why } }];
}
