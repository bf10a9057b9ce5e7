import { autoEnrollmentMac, clockToleranceMs, nonceFits } from "../../../src/protocol/auto-enroll.ts";
import type { Refusal } from "../../../src/protocol/codes.ts";
import { sameBytes } from "../../../src/protocol/token.ts";
import type { EnrollCall } from "./control-plane.ts";

/** What an auto-enrolling worker sends in place of a key. */
export interface SentProof {
	readonly tenant?: string;
	readonly nonce: string;
	readonly timestamp: string;
	readonly mac: string;
}

/** The fake control plane's check of auto-enrollment (DESIGN.md, Verdicts, HMAC transcript): secret first, then nonce, then time. */
export class Proofs {
	/** The secret of each tenant. */
	readonly secrets = new Map<string, string>();
	/** Nonces of right proofs, and when each may be forgotten: its timestamp alone refuses it then. */
	readonly #seen = new Map<string, number>();

	/** Why a call does not prove the secret; undefined when it does, and then its nonce counts as seen. */
	refusalOf({ enrollmentId, worker, replyKey }: EnrollCall, proof: SentProof, nowMs: number): Refusal | undefined {
		const { tenant = "default", nonce, timestamp, mac } = proof;
		const secret = this.secrets.get(tenant);
		if (secret === undefined) return "enrollment_disabled";
		const { name, requestedId = null, machineUid } = worker;
		const wanted = autoEnrollmentMac(secret, { tenant, enrollmentId, name, requestedId, machineUid, nonce, timestamp });
		if (!sameBytes(Buffer.from(mac), Buffer.from(wanted)) || !nonceFits(nonce, replyKey ?? null)) return "bad_secret";
		for (const [old, forgetAtMs] of this.#seen) if (forgetAtMs < nowMs) this.#seen.delete(old);
		if (this.#seen.has(nonce)) return "replayed";
		if (!(Math.abs(Date.parse(timestamp) - nowMs) <= clockToleranceMs)) return "clock_skew";
		this.#seen.set(nonce, nowMs + 2 * clockToleranceMs);
		return undefined;
	}
}
