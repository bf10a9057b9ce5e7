import type { Tx } from "../db/port.ts";
import type { TenantEvent } from "./event.ts";
import { eventChannel } from "./port.ts";

/**
 * Writes events in the transaction of the change they tell of: they are delivered if and only if it commits.
 * The only writer of the outbox. An empty list writes nothing.
 */
export async function append(tx: Tx, events: readonly TenantEvent[]): Promise<void> {
	if (events.length === 0) return;
	const rows = events.map(({ tenantId, event }) => ({ tenant_id: tenantId, kind: event.kind, payload: event }));
	await tx`
		insert into events (tenant_id, kind, payload)
		select tenant_id, kind, payload
		from jsonb_to_recordset(${tx.json(rows as never)}) as row (tenant_id text, kind text, payload jsonb)`;
	// NOTIFY takes a lock at commit that all databases of the server share: once a transaction, never once an event.
	await tx`select pg_notify(${eventChannel}, '')`;
}
