/** The words of the worker's machine (machine.ts tells what they mean together). */
import type { EnrollReply } from "../src/protocol/operations.ts";

export type Enrolled = Extract<EnrollReply, { readonly __typename: "Enrolled" }>;

/** What is remembered while enrolling. */
export interface Claim {
	/** The command `enroll` ends once the credential is kept; `run` goes on. */
	readonly thenExit: boolean;
	/** Calls in a row that brought no answer, or "wait". */
	readonly failures: number;
	/** A new enrollment id was made once because the old one could not be used; it is not made twice. */
	readonly renewed: boolean;
	/** Each call is signed with a new nonce and the time, as by an auto-enrollment secret (A6): a refused time or nonce can be mended. */
	readonly signed: boolean;
	/** The key may be used again later, should the credential it brings be refused one day: all but one-use tokens. */
	readonly again: boolean;
	/** Of a signed call: the time was corrected, or a new nonce was made, since the last wait; neither is done twice at a stretch. */
	readonly corrected: boolean;
	readonly resigned: boolean;
	/** Why it has not worked yet, for the log and for a time-out's message. */
	readonly why: string;
}

/** A key that the configuration holds. */
export interface Entry {
	readonly signed: boolean;
	readonly again: boolean;
}

/** What is remembered while joining the mesh. */
export interface Joining {
	/** The command `enroll` ends once this host is on the mesh. */
	readonly thenExit: boolean;
	/** Attempts in a row that came to nothing. */
	readonly failures: number;
	/** Why it has not worked yet. */
	readonly why: string;
}

/** What is remembered while reporting. */
export interface Link {
	/** A key to enroll with anew should the mesh forget this host: any, even a one-use token, unless it was used by this very process. */
	readonly entry: Entry | undefined;
	/** The worker has a key that lets it in again when its credential is refused for good; undefined: it stops then. */
	readonly again: { readonly signed: boolean } | undefined;
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
	| { readonly kind: "joining" | "unjoined"; readonly link: Link; readonly joining: Joining }
	| { readonly kind: "connecting" | "reconnecting"; readonly link: Link }
	| { readonly kind: "connected"; readonly link: Link; readonly sinceMs: number }
	| { readonly kind: "checking"; readonly link: Link; readonly refusal: string }
	| { readonly kind: "stopping"; readonly code: number };

export type Event =
	| {
			readonly kind: "started";
			readonly hasCredential: boolean;
			readonly thenExit: boolean;
			readonly signed: boolean;
			readonly again: boolean;
			/** The configuration holds a key, of whatever kind. */
			readonly entry?: boolean;
			/** With the credential: this host is to be on a mesh; for the command `enroll`, and is not yet. */
			readonly mesh?: boolean;
	  }
	| { readonly kind: "replied"; readonly reply: EnrollReply }
	/** No usable answer; `permanent` when asking again cannot help. */
	| { readonly kind: "unanswered"; readonly why: string; readonly permanent: boolean }
	/** `mesh`: the reply says that this host is to be on one. */
	| { readonly kind: "stored"; readonly workerId: string; readonly name: string; readonly outcome: string; readonly mesh?: boolean }
	| { readonly kind: "meshJoined"; readonly addresses: readonly string[]; readonly nodeName: string | undefined }
	| { readonly kind: "meshFailed"; readonly why: string }
	/** No login and no key for the mesh, told at any time once there is a credential. */
	| { readonly kind: "meshLost"; readonly why: string }
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
	/** Makes (or with `renew` replaces) the pending enrollment and sends it, signed anew where it is signed. */
	| { readonly kind: "enroll"; readonly renew: boolean }
	/** Signs from now on with the time of a server whose clock said this. */
	| { readonly kind: "correctClock"; readonly serverMs: number }
	/** Opens and keeps the credential. */
	| { readonly kind: "store"; readonly enrolled: Enrolled }
	/** Drops the pending enrollment: the server refused it for good. */
	| { readonly kind: "forget" }
	/** Sends `due` after at least this long, plus full jitter that grows with the failures. */
	| { readonly kind: "wait"; readonly seconds: number; readonly failures: number }
	/** Puts this host on the mesh. */
	| { readonly kind: "join" }
	| { readonly kind: "connect" }
	/** Cuts the connection, if there is one, and tells nothing of it. */
	| { readonly kind: "hangUp" }
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

/** A worker that has just begun to enroll. */
export function newClaim(from: Pick<Claim, "thenExit" | "signed" | "again"> & { readonly why: string }): Claim {
	return { ...from, failures: 0, renewed: false, corrected: false, resigned: false };
}

/** The last step: one line that says why, then the exit code (A16). */
export function stop(code: number, level: "info" | "error", why: string, fields: Readonly<Record<string, unknown>> = {}): Step {
	const line: Effect = { kind: "log", level, event: "worker.stopped", fields: { exitCode: code, ...fields, why } };
	return [{ kind: "stopping", code }, [line, { kind: "finish", code }]];
}
