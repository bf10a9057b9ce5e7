import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { count, parseFirst, time } from "../db/rows.ts";
import { attemptsAnywhere } from "../enrollment/attempt-store.ts";
import type { EventKind, MusterEvent, StoredPayload } from "./event.ts";
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
			payload: v.custom<StoredPayload>((value) => typeof value === "object" && value !== null),
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
	// What the planner cannot see it does not plan for anew each time.
	const most = sql.unsafe(`limit ${Math.floor(limit)}`);
	// What nobody asked for is not copied.
	const columns = sql`id, tenant_id, at, case when kind = any (${[...kinds]}::text[]) then payload end as payload`;
	const late =
		skipped.length === 0 ? sql`` : sql`union all (select ${columns} from events where id = any (${skipped}::bigint[]) order by id ${most})`;
	const [row] = await sql`
		with page as materialized (
			(select ${columns} from events where id > (select ${tail.cursor}::bigint) order by id ${most})
			${late}
		)
		select string_agg(id::text, ',' order by id) as ids, max(at) as newest,
			coalesce(jsonb_agg(jsonb_build_object('id', id, 'tenantId', tenant_id, 'payload', payload) order by id)
				filter (where payload is not null), '[]') as events
		from page`;
	const { ids, newest, events } = v.parse(page, row);
	return { ids, newest, events: await whole(sql, events) };
}

/** With the attempts that are named read; one that is gone (pruned) has no event any more. */
async function whole(sql: Sql, events: v.InferOutput<typeof page>["events"]): Promise<StoredEvent[]> {
	const named = events.flatMap(({ payload }) => ("attemptId" in payload ? payload.attemptId : []));
	const attempts = new Map((await attemptsAnywhere(sql, named)).map((attempt) => [attempt.id, attempt]));
	return events.flatMap(({ id, tenantId, payload }) => {
		if (!("attemptId" in payload)) return { id, tenantId, event: payload };
		const attempt = attempts.get(payload.attemptId);
		return attempt === undefined ? [] : { id, tenantId, event: { kind: "attempt", attempt } };
	});
}

/** Deletes a bounded number of events older than an hour: every living reader has them. Returns how many went. */
export async function pruneEvents(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from (select id, at from events order by id limit ${limit} for update skip locked) as first where at < now() - interval '1 hour')
		delete from events e using old where e.id = old.id`;
	return gone.count;
}
