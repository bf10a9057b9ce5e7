import type { EnrollmentMethod, Outcome, Refusal } from "../protocol/codes.ts";

/** What the domain counts. Label values are closed sets, so that no client can grow the series. */
export interface Metrics {
	enrollAttempt(method: EnrollmentMethod, result: Outcome | "PENDING" | "REFUSED"): void;
	enrollRejection(reason: Refusal): void;
	enrollBatch(size: number): void;
	argon2Verification(): void;
	argon2Waiting(count: number): void;
	heartbeats(count: number): void;
	sockets(kind: "worker" | "operator", change: 1 | -1): void;
	subscribers(change: 1 | -1): void;
	eventLag(seconds: number): void;
	hostsDegraded(count: number): void;
}
