import type { FreshMeshKey } from "./request.ts";
import type { EnrollmentMethod, Outcome, PendingReason, Refusal } from "../protocol/codes.ts";

/** What the enrolling worker is told. */
export type EnrollResult =
	| {
			readonly kind: "enrolled";
			readonly workerId: string;
			readonly hostId: string;
			readonly name: string;
			readonly outcome: Outcome;
			/** Exactly one of the two is set. */
			readonly apiKey: string | null;
			readonly sealedApiKey: string | null;
			/** Only for a host token, where there is a mesh. */
			readonly mesh: FreshMeshKey | null;
	  }
	| { readonly kind: "pending"; readonly workerId: string; readonly reason: PendingReason }
	| { readonly kind: "rejected"; readonly reason: Refusal; readonly message: string; readonly retryAfterSeconds: number | null };

/** A refusal that came before the verdict: malformed, limited or unproven. It joins the batch only to be recorded. */
export interface EarlyRefusal {
	readonly reason: Refusal;
	readonly message: string;
	readonly retryAfterSeconds: number | null;
	readonly method: EnrollmentMethod;
	/** Null when the claim names no tenant that exists. */
	readonly tenantId: string | null;
	readonly siteId: string | null;
	readonly hostId: string | null;
	readonly keyId: string | null;
	readonly sourceAddress: string;
	readonly claimedName: string | null;
	readonly hostname: string | null;
	readonly machineUid: string | null;
	/** Set when this very refusal began a lockout: the alert is raised once. */
	readonly lockout: { readonly scope: string; readonly lengthMs: number } | null;
}
