import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import type { MusterEvent } from "./event.ts";
import type { Tail } from "./tail.ts";

const row = v.object({ id: count, tenantId: v.string(), at: time, payload: v.custom<MusterEvent>((value) => typeof value === "object") });

/** An event with its place in the outbox. */
export interface StoredEvent {
	readonly id: number;
	readonly tenantId: string;
	readonly at: number;
	readonly event: MusterEvent;
}

/** The newest id in the outbox, 0 when it is empty. */
export async function newestEventId(sql: Sql): Promise<number> {
	const rows = await sql`select coalesce(max(id), 0) as id from events`;
	return parseFirst(v.object({ id: count }), rows)?.id ?? 0;
}

/** Events after the cursor and skipped ones that have appeared, oldest first, at most `limit` of each kind. */
export async function eventsAfter(sql: Sql, tail: Tail, limit: number): Promise<StoredEvent[]> {
	const skipped = [...tail.skipped.keys()].map(String);
	const rows = await sql`
		(select id, tenant_id, at, payload from events where id > ${tail.cursor} order by id limit ${limit})
		union all
		(select id, tenant_id, at, payload from events where id = any (${skipped}::bigint[]) order by id limit ${limit})
		order by id`;
	return parseRows(row, rows).map(({ id, tenantId, at, payload }) => ({ id, tenantId, at, event: payload }));
}

/** Deletes a bounded number of events older than an hour: every living reader has them. Returns how many went. */
export async function pruneEvents(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from events where at < now() - interval '1 hour' order by at limit ${limit} for update skip locked)
		delete from events e using old where e.id = old.id`;
	return gone.count;
}
