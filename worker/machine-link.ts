/** The half of the state machine that reports with a credential (machine.ts names the states). */
import { absurd } from "../src/lib/absurd.ts";
import { closeCodes, exitCodes } from "../src/protocol/codes.ts";
import { type CheckVerdict, type Effect, type Event, type Link, newClaim, type State, type Step, stop } from "./machine-state.ts";

type LinkState = Exclude<Extract<State, { readonly link: Link }>, { readonly joining: unknown }>;
type Closed = Extract<Event, { readonly kind: "closed" }>;

// One server process with a stale view, a restore from backup or a proxy's mistake must not make a fleet give up: three times, minutes apart.
const believedRefusals = 3;
const believedAfterMs = 120_000;
const doubtedRetrySeconds = 60;

// Each of two workers with one identity throws the other out; waiting long enough lets a restart's overlap pass, counting ends a real duel.
const believedReplacements = 3;
const replacedRetrySeconds = 30;
const undisputedMs = 600_000;

const credentialCodes: readonly number[] = [closeCodes.unauthorized, closeCodes.forbidden, closeCodes.credentialRevoked];

/** A worker that has a credential and has not reported yet. */
export function newLink(again: Link["again"], entry: Link["entry"]): Link {
	return { again, entry, failures: 0, doubt: undefined, replaced: 0, why: "" };
}

/** Begins to report. */
export function start(link: Link): Step {
	return [{ kind: "connecting", link }, [{ kind: "connect" }]];
}

/** One step of a worker that has a credential. */
export function step(state: LinkState, event: Event): Step {
	const { link } = state;
	switch (state.kind) {
		case "connecting":
			if (event.kind === "closed") return lost(link, event, undefined);
			if (event.kind !== "opened") return [state, []];
			return [
				{ kind: "connected", link, sinceMs: event.nowMs },
				[{ kind: "log", level: "info", event: "worker.connected", fields: {} }, { kind: "beat" }],
			];
		case "connected":
			return event.kind === "closed" ? lost(link, event, state.sinceMs) : beat(state, event);
		case "checking":
			return event.kind === "checked" ? judge(link, state.refusal, event.verdict, event.nowMs) : [state, []];
		case "reconnecting":
			return event.kind === "due" ? [{ kind: "connecting", link }, [{ kind: "connect" }]] : [state, []];
		default:
			return absurd(state);
	}
}

function beat(state: Extract<LinkState, { readonly kind: "connected" }>, event: Event): Step {
	if (event.kind === "due") return [state, [{ kind: "beat" }]];
	if (event.kind === "beatFailed") {
		const said: Effect = {
			kind: "log",
			level: state.link.why === event.why ? "debug" : "warn",
			event: "heartbeat.refused",
			fields: { why: event.why },
		};
		return [{ ...state, link: { ...state.link, why: event.why } }, [said, { kind: "beatIn", seconds: undefined }]];
	}
	if (event.kind !== "beatAnswered") return [state, []];
	const link: Link = { ...state.link, failures: 0, doubt: undefined, why: "" };
	return [{ ...state, link }, [{ kind: "beatIn", seconds: event.nextInSeconds }]];
}

function lost(link: Link, event: Closed, connectedSinceMs: number | undefined): Step {
	const said: Effect = {
		kind: "log",
		level: link.why === event.why ? "debug" : "warn",
		event: connectedSinceMs === undefined ? "worker.unconnected" : "worker.disconnected",
		fields: { code: event.code, why: event.why },
	};
	const next: Link = { ...link, why: event.why };
	if (credentialCodes.includes(event.code) || event.upgradeStatus === 401 || event.upgradeStatus === 403) {
		return [{ kind: "checking", link: next, refusal: event.why }, [said, { kind: "check" }]];
	}
	if (event.code === closeCodes.replaced) return replaced(next, event, connectedSinceMs, said);
	return again(next, 0, said);
}

function replaced(link: Link, { nowMs }: Closed, connectedSinceMs: number | undefined, said: Effect): Step {
	const undisputed = connectedSinceMs !== undefined && nowMs - connectedSinceMs >= undisputedMs;
	const count = (undisputed ? 0 : link.replaced) + 1;
	if (count >= believedReplacements) {
		return stop(
			exitCodes.ioError,
			"error",
			`Another worker runs with the same identity and took over ${count} times: stop one of the two, or give this one a state directory of its own`,
		);
	}
	return again({ ...link, replaced: count }, replacedRetrySeconds, said);
}

function judge(link: Link, refusal: string, verdict: CheckVerdict, nowMs: number): Step {
	// Nobody there, or not a Muster: this was the network's refusal, and says nothing about the credential.
	if (verdict === "unreachable") return again(link, 0);
	const doubt = { refusals: (link.doubt?.refusals ?? 0) + 1, sinceMs: link.doubt?.sinceMs ?? nowMs };
	if (doubt.refusals >= believedRefusals && nowMs - doubt.sinceMs >= believedAfterMs) {
		if (verdict === "refused" && link.again !== undefined) return enrollAgain(link.again, refusal, doubt.refusals);
		const remedy =
			verdict === "refused"
				? "its API key is not valid any more, remove .MUSTER_WORKER_ID and .MUSTER_WORKER_API_KEY and enroll again, or give the new one as MUSTER_WORKER_API_KEY"
				: "its API key is valid, so check that MUSTER_WORKER_NAME is the name it enrolled with";
		return stop(exitCodes.noPermission, "error", `The server refused this worker ${doubt.refusals} times (${refusal}): ${remedy}`);
	}
	return again({ ...link, doubt }, doubtedRetrySeconds);
}

/** The kept pair stays until the new one is there: a server that was wrong about the old one may be right about it tomorrow. */
function enrollAgain({ signed }: NonNullable<Link["again"]>, refusal: string, refusals: number): Step {
	const why = `the server refused this worker's API key ${refusals} times (${refusal}): it enrolls again with the key it has`;
	return [
		{ kind: "enrolling", claim: newClaim({ thenExit: false, signed, again: true, why }) },
		[
			{ kind: "log", level: "warn", event: "credential.refused", fields: { why } },
			{ kind: "enroll", renew: true },
		],
	];
}

function again(link: Link, seconds: number, ...said: readonly Effect[]): Step {
	return [
		{ kind: "reconnecting", link: { ...link, failures: link.failures + 1 } },
		[...said, { kind: "wait", seconds, failures: link.failures }],
	];
}
