import type { Outcome, PendingReason, Refusal } from "../protocol/codes.ts";
import type { KeyFacts } from "../keys/key.ts";
import type { Facts, PriorFacts, SiteFacts, WorkerFacts } from "./facts.ts";
import type { ProvenRequest } from "./request.ts";

/** What happens with a proven claim. */
export type Verdict =
	| { readonly kind: "admit"; readonly outcome: Exclude<Outcome, "REPLAYED">; readonly workerId: string | undefined }
	/** The same enrollment again: the stored reply, or (`sealed: null`) a fresh credential in place of the unused first. */
	| { readonly kind: "replay"; readonly workerId: string; readonly sealed: string | null }
	/** `workerId` is undefined when the held claim has no worker row yet. */
	| { readonly kind: "hold"; readonly why: PendingReason; readonly workerId: string | undefined }
	| { readonly kind: "refuse"; readonly why: Refusal; readonly detail: string };

/**
 * The verdict on one proven claim. Pure: the same facts, request and time give the same verdict; never admits without a live key.
 * Order: the proof's freshness → the same enrollment again → the key's life → its scope → the requested id → what is known of the machine
 * (DESIGN.md, Verdicts; A6, A7, B3, S3, S4, S5, S8, G6, H3, H6, H8).
 */
export function decide(facts: Facts, request: ProvenRequest, now: number): Verdict {
	const { key, prior } = facts;
	if (key === undefined) return refuse("invalid_token", "the key is not known");
	// First of all: a proof that was seen before must not fetch even the answer it got.
	const stale = freshness(facts, request);
	if (stale !== undefined) return stale;
	if (prior !== undefined && (prior.expiresAt === null || now < prior.expiresAt)) return withMesh(facts, again(prior, facts, request));
	return withMesh(
		facts,
		life(key, facts, request, now) ?? scope(facts, request) ?? identity(facts, request) ?? machine(facts, request, now),
	);
}

/** H6: nobody is let in without the mesh key that has to go with it; the token stays unused. */
function withMesh({ mesh }: Facts, verdict: Verdict): Verdict {
	if (mesh !== "missing" || !givesMeshKey(verdict)) return verdict;
	return refuse("mesh_mint_failed", "what this depends on changed while a mesh key was minted: the token is untouched, ask again");
}

/** Whether a verdict gives out a fresh mesh key where there is a mesh. */
export function givesMeshKey(verdict: Verdict): boolean {
	return verdict.kind === "admit" || (verdict.kind === "replay" && verdict.sealed === null);
}

/** A6: each proof counts once, and only near its own time. */
function freshness({ auto }: Facts, { proof, arrivedAt }: ProvenRequest): Verdict | undefined {
	if (proof === null || auto === undefined) return undefined;
	if (auto.nonceSeen) return refuse("replayed", "the nonce was seen before: make a new one");
	if (Math.abs(proof.timestampMs - arrivedAt) > auto.toleranceMs) {
		return refuse("clock_skew", "the timestamp is more than five minutes from the server's time: correct the clock by serverTime");
	}
	return auto.credentialLive ? undefined : refuse("overloaded", "the tenant's shared API key was changed at this moment: ask again");
}

/** The enrollment id was seen before: the same claimant gets the same answer and no second use is counted. */
function again(prior: PriorFacts, facts: Facts, request: ProvenRequest): Verdict {
	if (prior.machineUid !== request.claim.machineUid || prior.replyKey !== request.replyKey || prior.keyId !== request.keyId) {
		return refuse("bad_request", "the enrollment id was used with another machine, key or reply key: make a new enrollment id");
	}
	const { worker } = prior;
	if (worker === undefined || worker.state === "REVOKED") return refuse("not_allowed", "the worker was revoked or deleted by an operator");
	if (prior.state === "held") {
		if (worker.state === "PENDING") return { kind: "hold", why: worker.pendingReason ?? "APPROVAL_REQUIRED", workerId: worker.id };
		// While it waited, the machine may have become another worker's.
		if (facts.sameMachine !== undefined && facts.sameMachine.id !== worker.id && facts.heldClaim?.id !== worker.id)
			return refuse("replayed", "the machine enrolled as another worker meanwhile: make a new enrollment id");
		return { kind: "admit", outcome: prior.outcome ?? "NEW", workerId: worker.id };
	}
	if (prior.credential === undefined || prior.credential.revoked)
		return refuse("replayed", "the credential of this enrollment was revoked: make a new enrollment id");
	if (prior.sealed !== null) return { kind: "replay", workerId: worker.id, sealed: prior.sealed };
	if (prior.superseded) return refuse("replayed", "the worker enrolled again since: make a new enrollment id");
	if (prior.credential.used) return refuse("replayed", "the credential of this enrollment is in use: make a new enrollment id");
	return { kind: "replay", workerId: worker.id, sealed: null };
}

function life(key: KeyFacts, facts: Facts, request: ProvenRequest, now: number): Verdict | undefined {
	if (key.kind === "auto") {
		if (facts.auto?.enabled !== true) return refuse("enrollment_disabled", "auto-enrollment is switched off for this tenant");
		if (!key.active && (key.graceEndsAt === null || now >= key.graceEndsAt)) return refuse("bad_secret", "the secret was replaced");
	}
	if (key.revokedAt !== null) return refuse("revoked", "the key was revoked");
	if (key.kind === "site" && !key.active) {
		if (key.graceEndsAt === null) return refuse("revoked", "the site key was rotated: ask for the current one");
		if (now >= key.graceEndsAt) return refuse("expired", "the site key was rotated and its grace period is over: ask for the current one");
	}
	if (key.kind === "host" && facts.host === undefined) return refuse("revoked", "the host of this token was deleted");
	if (key.kind === "host" && key.consumedAt !== null) {
		return key.consumedAt <= request.arrivedAt
			? refuse("already_consumed", "the host token was used before: regenerate it")
			: refuse("race_consumed", "the host token was used by another request while this one was under way: regenerate it");
	}
	if (key.expiresAt !== null && now >= key.expiresAt) return refuse("expired", "the key has expired");
	if (key.maxUses !== null && key.uses >= key.maxUses) return refuse("exhausted", `the key has had its ${key.maxUses} use(s)`);
	return undefined;
}

function scope(facts: Facts, request: ProvenRequest): Verdict | undefined {
	if (!facts.sourceAllowed) return refuse("not_allowed", `the key may not be used from ${request.sourceAddress}`);
	if (facts.host !== undefined && facts.host.name !== request.claim.name) {
		return refuse("not_allowed", `the host token is for node name "${facts.host.name}", not "${request.claim.name}"`);
	}
	return undefined;
}

function identity({ requested, heldClaim, host }: Facts, { claim }: ProvenRequest): Verdict | undefined {
	if (requested === undefined || requested.machineUid === claim.machineUid) return undefined;
	// Its own all the same: split off from a machine of the same uid, or the worker of the host that the token is for.
	if (requested.id === heldClaim?.id || requested.id === host?.worker?.id) return undefined;
	return refuse("worker_exists", `worker id "${requested.id}" belongs to another machine: ask for another id, or none`);
}

function machine(facts: Facts, request: ProvenRequest, now: number): Verdict {
	const { key, site, sameMachine, heldClaim, host } = facts;
	// An operator's word on this claimant stands, also when the worker it collided with is gone.
	if (heldClaim?.state === "REVOKED") return refuse("not_allowed", "an operator banned this claimant of the machine uid");
	if (sameMachine?.state === "REVOKED")
		return refuse("not_allowed", "this machine's worker was revoked: delete the worker to let the machine in anew");
	const known = heldClaim?.state === "ACTIVE" ? heldClaim : sameMachine;
	if (known === undefined) return unknownMachine(facts);
	if (host?.worker !== undefined && host.worker.id !== known.id) {
		return refuse("not_allowed", `this machine is worker "${known.id}", the host has worker "${host.worker.id}": delete one of them`);
	}
	if (sameMachine === undefined || known === heldClaim) return admitAgain(known, key, site);
	if (sameMachine.state === "PENDING" && sameMachine.hostname === request.claim.hostname) {
		return { kind: "hold", why: sameMachine.pendingReason ?? "APPROVAL_REQUIRED", workerId: sameMachine.id };
	}
	// A second claimant of a machine that waits for approval must not ride in on the first one's.
	if (heldClaim !== undefined || sameMachine.state === "PENDING" || collides(facts, request, now)) {
		return { kind: "hold", why: "COLLISION", workerId: heldClaim?.id };
	}
	return admitAgain(sameMachine, key, site);
}

function unknownMachine({ site, heldClaim, host }: Facts): Verdict {
	if (heldClaim !== undefined) return { kind: "hold", why: "COLLISION", workerId: heldClaim.id };
	// The host's token was regenerated for a machine whose uid is another now: it goes on as the worker that the host has (H1, H14).
	switch (host?.worker?.state) {
		case "ACTIVE":
			return { kind: "admit", outcome: "REUSED", workerId: host?.worker?.id };
		case "PENDING":
			return refuse("not_allowed", "the host's worker waits for an operator: settle that first");
		case "REVOKED":
			return refuse("not_allowed", "the host's worker was revoked: delete the host, then create it anew");
		case undefined:
			break;
	}
	if (site?.enrollmentPolicy === "REQUIRE_APPROVAL") return { kind: "hold", why: "APPROVAL_REQUIRED", workerId: undefined };
	return { kind: "admit", outcome: "NEW", workerId: undefined };
}

function admitAgain(worker: WorkerFacts, key: KeyFacts | undefined, site: SiteFacts | undefined): Verdict {
	if (worker.siteId === (key?.siteId ?? null)) return { kind: "admit", outcome: "REUSED", workerId: worker.id };
	if (site?.enrollmentPolicy === "REQUIRE_APPROVAL") {
		return refuse("not_allowed", "the site lets no machine move in without approval: delete the worker, then enroll it as a new one");
	}
	return { kind: "admit", outcome: "MOVED", workerId: worker.id };
}

/** S5: the machine uid's worker is online and the claim comes from another hostname. */
function collides({ sameMachine, staleMs }: Facts, { claim }: ProvenRequest, now: number): boolean {
	if (sameMachine === undefined || sameMachine.lastHeartbeatAt === null) return false;
	return now - sameMachine.lastHeartbeatAt < staleMs && sameMachine.hostname !== claim.hostname;
}

function refuse(why: Refusal, detail: string): Verdict {
	return { kind: "refuse", why, detail };
}
