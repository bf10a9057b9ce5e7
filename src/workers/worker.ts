import type { EnrollmentMethod, PendingReason } from "../protocol/codes.ts";

export type WorkerState = "ACTIVE" | "PENDING" | "REVOKED";

/** The enrolled agent's identity. Times are milliseconds since the epoch. */
export interface WorkerRecord {
	readonly tenantId: string;
	readonly id: string;
	readonly name: string;
	readonly hostname: string | null;
	/** Null for a claim held because of a collision, and for a worker made by an admin that has not started yet. */
	readonly machineUid: string | null;
	readonly siteId: string | null;
	readonly fleetId: string | null;
	readonly keyId: string | null;
	readonly keyVersion: number | null;
	readonly method: EnrollmentMethod;
	readonly autoEnrolled: boolean;
	readonly state: WorkerState;
	readonly pendingReason: PendingReason | null;
	/** Of a collision: the uid claimed, the worker that has it, and what both said of themselves (S5). */
	readonly contestedUid: string | null;
	readonly contestedWorkerId: string | null;
	readonly evidence: Readonly<Record<string, unknown>> | null;
	readonly labels: Readonly<Record<string, string>>;
	readonly version: string | null;
	readonly platform: string | null;
	readonly createdAt: number;
	readonly enrolledAt: number;
}

/** A worker with its last heartbeat and its host. */
export interface WorkerView extends WorkerRecord {
	readonly hostId: string | null;
	readonly lastHeartbeatAt: number | null;
}
