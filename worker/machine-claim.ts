/** The half of the state machine that gets a credential (machine.ts names the states). */
import { absurd } from "../src/lib/absurd.ts";
import { exitCodes, type Refusal, refusalAnswer } from "../src/protocol/codes.ts";
import type { EnrollReply } from "../src/protocol/operations.ts";
import { type Claim, type Effect, type Event, newClaim, type State, type Step, stop } from "./machine-state.ts";
import * as linking from "./machine-link.ts";
import * as meshing from "./machine-mesh.ts";

type ClaimState = Extract<State, { readonly claim: Claim }>;
type Rejected = Extract<EnrollReply, { readonly __typename: "EnrollmentRejected" }>;

/** After a wait a signed call may be mended again: the local clock may have been set meanwhile, and nothing spins. */
const waited = { corrected: false, resigned: false } as const;

/** Begins to enroll. */
export function start(from: Pick<Claim, "thenExit" | "signed" | "again">): Step {
	return [{ kind: "enrolling", claim: newClaim({ ...from, why: "no answer yet" }) }, [{ kind: "enroll", renew: false }]];
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
	const next: Claim = { ...claim, ...waited, failures: 0, why };
	return [
		{ kind: "pending", claim: next },
		[...told(claim, why, "enrollment.held", { reason, workerId }), { kind: "wait", seconds, failures: 0 }],
	];
}

function rejected(claim: Claim, reply: Rejected): Step {
	const { reason, message, retryAfterSeconds } = reply;
	switch (refusalAnswer[reason]) {
		case "wait":
			return delay(claim, retryAfterSeconds ?? 0, message, "enrollment.refused", { reason, retryAfterSeconds });
		case "new-nonce":
			if (claim.signed) return resign(claim, reason, message);
			return claim.renewed ? refuse(reason, message) : renew(claim, message, { reason });
		case "correct-clock":
			return claim.signed ? correct(claim, reply) : refuse(reason, message);
		case "stop":
			return refuse(reason, message);
	}
}

/** Takes the server's time once. A second refusal right after it means that the two clocks run apart, or that somebody delays the calls. */
function correct(claim: Claim, { reason, message, serverTime }: Rejected): Step {
	const serverMs = Date.parse(serverTime);
	if (claim.corrected || Number.isNaN(serverMs)) {
		// The pending enrollment stays: nothing but the time was wrong with it.
		const why = `${message} (the server says ${serverTime}); taking over the server's time did not help: correct this machine's clock and start the worker again`;
		return stop(exitCodes.noPermission, "error", why, { reason });
	}
	const next: Claim = { ...claim, corrected: true, why: message };
	const said = told(claim, message, "enrollment.clock_corrected", { reason, serverTime });
	return [{ kind: "enrolling", claim: next }, [...said, { kind: "correctClock", serverMs }, { kind: "enroll", renew: false }]];
}

/** Sends the same enrollment with a new nonce, once: a proxy may have delivered the call twice and lost the first answer. */
function resign(claim: Claim, reason: Refusal, message: string): Step {
	if (claim.resigned) return refuse(reason, `${message}; a new nonce did not help: start the worker again to begin a new enrollment`);
	const next: Claim = { ...claim, resigned: true, why: message };
	return [
		{ kind: "enrolling", claim: next },
		[...told(claim, message, "enrollment.resigned", { reason }), { kind: "enroll", renew: false }],
	];
}

function refuse(reason: Refusal, message: string): Step {
	const [state, effects] = stop(reason === "bad_request" ? exitCodes.usage : exitCodes.noPermission, "error", message, { reason });
	return [state, [{ kind: "forget" }, ...effects]];
}

function renew(claim: Claim, why: string, fields: Readonly<Record<string, unknown>>): Step {
	const next: Claim = { ...claim, renewed: true, why };
	return [{ kind: "enrolling", claim: next }, [...told(claim, why, "enrollment.renewed", fields), { kind: "enroll", renew: true }]];
}

function delay(claim: Claim, seconds: number, why: string, event: string, fields: Readonly<Record<string, unknown>>): Step {
	const next: Claim = { ...claim, ...waited, failures: claim.failures + 1, why };
	return [{ kind: "delayed", claim: next }, [...told(claim, why, event, fields), { kind: "wait", seconds, failures: claim.failures }]];
}

function kept(state: ClaimState, event: Event): Step {
	const { claim } = state;
	if (event.kind === "unsealable") {
		return claim.renewed ? stop(exitCodes.software, "error", event.why) : renew(claim, event.why, {});
	}
	if (event.kind !== "stored") return [state, []];
	const { workerId, name, outcome, mesh } = event;
	const line: Effect = { kind: "log", level: "info", event: "worker.enrolled", fields: { workerId, name, outcome } };
	// A key that was used just now and works but once is no way in any more.
	const link = linking.newLink(
		claim.again ? { signed: claim.signed } : undefined,
		claim.again ? { signed: claim.signed, again: true } : undefined,
	);
	const [next, effects] = mesh
		? meshing.start(link, claim.thenExit)
		: claim.thenExit
			? stop(exitCodes.ok, "info", "enrolled")
			: linking.start(link);
	return [next, [line, ...effects]];
}

/** One line when the reason is new; the same reason again is only for the curious, so that an outage does not fill the log. */
function told(claim: Claim, why: string, event: string, fields: Readonly<Record<string, unknown>>): readonly Effect[] {
	return [{ kind: "log", level: claim.why === why ? "debug" : "warn", event, fields: { ...fields, why } }];
}
