import type { KeyFacts } from "../keys/key.ts";
import type { Outcome, PendingReason } from "../protocol/codes.ts";

/** Everything a verdict may depend on, as it stands under lock. Times are milliseconds since the epoch. */
export interface Facts {
	/** The proven key; undefined when it was deleted since the proof. */
	readonly key: KeyFacts | undefined;
	/** The site the key opens; undefined for keys of no site. */
	readonly site: SiteFacts | undefined;
	/** The worker that holds the claimed machine uid. */
	readonly sameMachine: WorkerFacts | undefined;
	/** The worker that holds the requested id. */
	readonly requested: WorkerFacts | undefined;
	/** An earlier claimant of the same uid from the same hostname that collided: held, split off by an operator (ACTIVE) or banned (REVOKED). */
	readonly heldClaim: WorkerFacts | undefined;
	/** What this enrollment id was answered before. */
	readonly prior: PriorFacts | undefined;
	/** The host a host token is bound to; undefined for other keys, and when the host was deleted. */
	readonly host: HostFacts | undefined;
	/** What else an auto-enrollment depends on; undefined for other keys. */
	readonly auto: AutoFacts | undefined;
	/** The mesh key that an admitted machine would be given: not needed, ready, or not there (never minted, or taken back meanwhile). */
	readonly mesh: "none" | "ready" | "missing";
	/** Whether the source address is inside the key's allowed ranges; true when it has none. */
	readonly sourceAllowed: boolean;
	/** A worker counts as online when its last heartbeat is younger than this. */
	readonly staleMs: number;
}

export interface SiteFacts {
	readonly enrollmentPolicy: "AUTO_APPROVE" | "REQUIRE_APPROVAL";
}

export interface WorkerFacts {
	readonly id: string;
	readonly machineUid: string | null;
	readonly hostname: string | null;
	readonly siteId: string | null;
	readonly state: "ACTIVE" | "PENDING" | "REVOKED";
	readonly pendingReason: PendingReason | null;
	readonly lastHeartbeatAt: number | null;
}

export interface HostFacts {
	readonly name: string;
	/** The worker it has already, when the token was regenerated for a machine that lost its state. */
	readonly worker: WorkerFacts | undefined;
}

export interface AutoFacts {
	readonly enabled: boolean;
	readonly nonceSeen: boolean;
	/** Whether the shared API key that was read ahead of the verdict is still good. */
	readonly credentialLive: boolean;
	/** How far a proof's timestamp may be from the time the request arrived. */
	readonly toleranceMs: number;
}

export interface PriorFacts {
	readonly machineUid: string;
	readonly replyKey: string | null;
	readonly keyId: string;
	readonly state: "held" | "admitted";
	/** Of an admitted claim, and of a held one that was approved. */
	readonly outcome: Exclude<Outcome, "REPLAYED"> | null;
	/** The worker it was answered with, as it is now; undefined when deleted. */
	readonly worker: WorkerFacts | undefined;
	/** The worker enrolled again since: a credential made now would outrank a newer one. */
	readonly superseded: boolean;
	readonly sealed: string | null;
	readonly credential: { readonly used: boolean; readonly revoked: boolean } | undefined;
	/** When the reply memory ends; null while held. */
	readonly expiresAt: number | null;
}
