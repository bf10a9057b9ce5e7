import type { EnrollmentMethod, Outcome, Refusal } from "../protocol/codes.ts";

/** One enroll attempt, good or bad, as it is kept and shown (H8). */
export interface AttemptRecord {
	readonly id: string;
	/** Null when the claim named no tenant that exists: then nobody can see it. */
	readonly tenantId: string | null;
	readonly at: number;
	readonly method: EnrollmentMethod | null;
	readonly accepted: boolean;
	readonly outcome: Outcome | null;
	readonly reason: Refusal | null;
	readonly sourceAddress: string;
	readonly claimedName: string | null;
	readonly hostname: string | null;
	readonly machineUid: string | null;
	readonly siteId: string | null;
	readonly hostId: string | null;
	readonly workerId: string | null;
	readonly keyId: string | null;
}
