/** The kinds of alert this version raises. */
export const alertKinds = [
	"COLLISION",
	"HOST_DEGRADED",
	"HOST_RECOVERED",
	"WORKER_EXISTS",
	"UNFAMILIAR_WORKER",
	"LOCKOUT",
	"AUTO_ENROLLMENT_LEFT_ON",
	"KEY_EXHAUSTED",
	"KEY_EXPIRING",
	"FUSE_FAILED",
	"ENGINE_CHANGED",
	"MESH_DOWN",
	"MESH_RECOVERED",
] as const;
export type AlertKind = (typeof alertKinds)[number];

export type AlertSeverity = "info" | "warning" | "critical";

/** Something an operator should look at. Times are milliseconds since the epoch. */
export interface AlertRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly at: number;
	readonly kind: AlertKind;
	readonly severity: AlertSeverity;
	readonly message: string;
	readonly workerId: string | null;
	readonly hostId: string | null;
	readonly siteId: string | null;
	readonly acknowledgedAt: number | null;
}

/** An alert to be raised. Of one topic a tenant gets one, however many servers notice it; null: each is one of its own. */
export interface NewAlert extends AlertRecord {
	readonly topic: string | null;
}
