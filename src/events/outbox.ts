import type { Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import type { MusterEvent, StoredPayload, TenantEvent } from "./event.ts";
import { eventChannel } from "./port.ts";

/** In the order of the insert's columns. */
const inserted = { tenantId: "text", kind: "text", payload: "jsonb" } as const;

/**
 * Writes events in the transaction of the change they tell of: they are delivered if and only if it commits.
 * The only writer of the outbox. An empty list writes nothing.
 */
export async function append(tx: Tx, events: readonly TenantEvent[]): Promise<void> {
	if (events.length === 0) return;
	const rows = events.map(({ tenantId, event }) => ({ tenantId, kind: event.kind, payload: stored(event) }));
	await Promise.all([
		tx`insert into events (tenant_id, kind, payload) select * from ${recordset(tx, rows, inserted)} as r`,
		// NOTIFY takes a lock at commit that all databases of the server share: once a transaction, never once an event.
		tx`select pg_notify(${eventChannel}, '')`,
	]);
}

function stored(event: MusterEvent): StoredPayload {
	return event.kind === "attempt" ? { kind: "attempt", attemptId: event.attempt.id } : event;
}
