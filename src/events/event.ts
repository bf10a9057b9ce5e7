import type { AlertRecord } from "../alerts/alert.ts";
import type { AttemptRecord } from "../enrollment/attempt.ts";
import type { HostRecord } from "../hosts/host.ts";
import type { HostEventRecord } from "../inventory/inventory.ts";
import type { CommandState } from "../protocol/commands.ts";

/** What the outbox carries. */
export type MusterEvent =
	| { readonly kind: "attempt"; readonly attempt: AttemptRecord }
	| { readonly kind: "host"; readonly host: HostRecord }
	| { readonly kind: "alert"; readonly alert: AlertRecord }
	/** A command was queued, began or ended; who may see it reads the rest. */
	| { readonly kind: "command"; readonly commandId: string; readonly hostId: string; readonly state: CommandState }
	| {
			readonly kind: "host-events";
			readonly hostId: string;
			readonly siteId: string | null;
			readonly events: readonly HostEventRecord[];
	  }
	/** Sockets that were opened with one of these credentials, by this worker or (null) by any, are to be closed, on every server. */
	| { readonly kind: "credentials-revoked"; readonly workerId: string | null; readonly credentialIds: readonly string[] };

/**
 * An event as the outbox holds it: whole, as things stood then, so that delivering one reads no table. Only an attempt, which never changes and of
 * which every enrollment writes one, is named, and read when somebody listens for attempts.
 */
export type StoredPayload = Exclude<MusterEvent, { readonly kind: "attempt" }> | { readonly kind: "attempt"; readonly attemptId: string };

export type EventKind = MusterEvent["kind"];

/** An event as it is stored: its tenant decides who may ever see it. */
export interface TenantEvent<Kind extends EventKind = EventKind> {
	readonly tenantId: string;
	readonly event: Extract<MusterEvent, { readonly kind: Kind }>;
}

/** A heartbeat on its way to subscribers. Never stored as an event. */
export interface HeartbeatSignal {
	readonly tenantId: string;
	readonly workerId: string;
	readonly hostId: string | null;
	readonly siteId: string | null;
	readonly name: string;
	readonly at: number;
	readonly load1: number | null;
	readonly memoryUsedBytes: number | null;
	readonly uptimeSeconds: number | null;
}
