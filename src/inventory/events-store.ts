import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, labelMap, parseFirst, parseRows, time } from "../db/rows.ts";
import type { HostEventRecord } from "./inventory.ts";

/** Events kept of each host: the newest. At some 300 bytes each that is 150 KB a host. */
export const eventsKept = 500;

const row = v.object({
	id: v.pipe(
		count,
		v.transform((id) => String(id)),
	),
	hostId: v.string(),
	at: time,
	type: v.string(),
	action: v.string(),
	subject: v.string(),
	name: v.nullable(v.string()),
	attributes: labelMap,
});

/** Writes a host's events behind those it has, and removes the oldest past `eventsKept`. The caller holds the host's lock. Returns them with their ids. */
export async function addEvents(
	tx: Tx,
	tenantId: string,
	hostId: string,
	events: readonly Omit<HostEventRecord, "id" | "hostId">[],
): Promise<HostEventRecord[]> {
	const rows = await tx`
		insert into host_events (tenant_id, host_id, at, type, action, subject, name, attributes)
		select ${tenantId}, ${hostId}, to_timestamp(at / 1000.0), type, action, subject, name, attributes
		from rows from (jsonb_to_recordset(${tx.json(events as never)}) as (at double precision, type text, action text, subject text, name text,
			attributes jsonb)) with ordinality as r order by ordinality
		returning id, host_id, at, type, action, subject, name, attributes`;
	await tx`
		delete from host_events where tenant_id = ${tenantId} and host_id = ${hostId} and id <= (
			select id from host_events where tenant_id = ${tenantId} and host_id = ${hostId} order by id desc offset ${eventsKept} limit 1)`;
	return parseRows(row, rows);
}

/** One page of a host's events, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfHostEvents(
	sql: Sql,
	tenantId: string,
	hostId: string,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<HostEventRecord[]> {
	return parseRows(
		row,
		await sql`
		select id, host_id, at, type, action, subject, name, attributes from host_events
		where tenant_id = ${tenantId} and host_id = ${hostId}
			${page.after === undefined ? sql`` : sql`and id < ${place(page.after)}`}
			${page.before === undefined ? sql`` : sql`and id > ${place(page.before)}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many events of a host there are. */
export async function countHostEvents(sql: Sql, tenantId: string, hostId: string): Promise<number> {
	const rows = await sql`select count(*) as total from host_events where tenant_id = ${tenantId} and host_id = ${hostId}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Deletes a bounded number of events older than a week. */
export async function pruneHostEvents(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from host_events where at < now() - interval '7 days' order by at limit ${limit} for update skip locked)
		delete from host_events e using old where e.id = old.id`;
	return gone.count;
}

/** A cursor of another list is a place before all. */
function place(cursor: string): number {
	const id = Number(cursor);
	return Number.isSafeInteger(id) ? id : 0;
}
