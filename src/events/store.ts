import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { count, parseFirst, time } from "../db/rows.ts";
import type { EventKind, MusterEvent } from "./event.ts";
import type { Tail } from "./tail.ts";

const page = v.object({
	ids: v.pipe(
		v.nullable(v.string()),
		v.transform((ids) => (ids === null ? [] : ids.split(",").map(Number))),
	),
	newest: v.nullable(time),
	events: v.array(
		v.object({
			id: v.number(),
			tenantId: v.string(),
			event: v.custom<MusterEvent>((value) => typeof value === "object" && value !== null),
		}),
	),
});

/** An event with its place in the outbox. */
export interface StoredEvent {
	readonly id: number;
	readonly tenantId: string;
	readonly event: MusterEvent;
}

/** A part of the outbox. */
export interface EventPage {
	/** Of all events in it, whatever their kind, ascending. */
	readonly ids: readonly number[];
	/** When the newest of them was written; null when there is none. */
	readonly newest: number | null;
	/** Those of the kinds that were asked for, oldest first. */
	readonly events: readonly StoredEvent[];
}

/** The newest id in the outbox, 0 when it is empty. */
export async function newestEventId(sql: Sql): Promise<number> {
	const rows = await sql`select coalesce(max(id), 0) as id from events`;
	return parseFirst(v.object({ id: count }), rows)?.id ?? 0;
}

/** What is after the cursor and skipped ones that have appeared, at most `limit` of each sort. What is of other kinds than `kinds` stays in the database. */
export async function eventsAfter(sql: Sql, tail: Tail, limit: number, kinds: readonly EventKind[]): Promise<EventPage> {
	const skipped = [...tail.skipped.keys()].map(String);
	const [row] = await sql`
		with page as materialized (
			(select id, tenant_id, at, kind, payload from events where id > ${tail.cursor} order by id limit ${limit})
			union all
			(select id, tenant_id, at, kind, payload from events where id = any (${skipped}::bigint[]) order by id limit ${limit})
		)
		select string_agg(id::text, ',' order by id) as ids, max(at) as newest,
			coalesce(jsonb_agg(jsonb_build_object('id', id, 'tenantId', tenant_id, 'event', payload) order by id)
				filter (where kind = any (${[...kinds]}::text[])), '[]') as events
		from page`;
	return v.parse(page, row);
}

/** Deletes a bounded number of events older than an hour: every living reader has them. Returns how many went. */
export async function pruneEvents(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from events where at < now() - interval '1 hour' order by at limit ${limit} for update skip locked)
		delete from events e using old where e.id = old.id`;
	return gone.count;
}
