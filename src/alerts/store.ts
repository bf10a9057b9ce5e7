import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { append } from "../events/outbox.ts";
import { queueAlerts } from "../webhooks/store.ts";
import { type AlertRecord, alertKinds, type NewAlert } from "./alert.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	at: time,
	kind: v.picklist(alertKinds),
	severity: v.picklist(["info", "warning", "critical"]),
	message: v.string(),
	workerId: v.nullable(v.string()),
	hostId: v.nullable(v.string()),
	siteId: v.nullable(v.string()),
	acknowledgedAt: v.nullable(time),
});

function columns(sql: Sql | Tx) {
	return sql`id, tenant_id, at, kind, severity, message, worker_id, host_id, site_id, acknowledged_at`;
}

/** Raises alerts in the transaction of what they tell of, with an event each and a delivery to each webhook that wants it. One whose topic was raised before is left out. */
export async function raiseAlerts(tx: Tx, alerts: readonly NewAlert[]): Promise<void> {
	if (alerts.length === 0) return;
	const rows = await tx`
		insert into alerts (id, tenant_id, at, kind, severity, message, worker_id, host_id, site_id, topic)
		select id, "tenantId", to_timestamp(at / 1000.0), kind, severity, message, "workerId", "hostId", "siteId", topic
		from jsonb_to_recordset(${tx.json(alerts as never)}) as r (id text, "tenantId" text, at double precision, kind text, severity text,
			message text, "workerId" text, "hostId" text, "siteId" text, topic text)
		order by "tenantId", topic
		on conflict (tenant_id, topic) where topic is not null do nothing
		returning ${columns(tx)}`;
	const raised = parseRows(row, rows);
	await queueAlerts(
		tx,
		raised.map(({ id }) => id),
	);
	await append(
		tx,
		raised.map((alert) => ({ tenantId: alert.tenantId, event: { kind: "alert", alert } })),
	);
}

/** Marks an alert as seen; the first to do so stays on record. Undefined when there is no such alert. */
export async function acknowledge(tx: Tx, tenantId: string, id: string, at: number, by: string): Promise<AlertRecord | undefined> {
	const rows = await tx`
		update alerts set acknowledged_at = coalesce(acknowledged_at, ${new Date(at)}), acknowledged_by = coalesce(acknowledged_by, ${by})
		where tenant_id = ${tenantId} and id = ${id}
		returning ${columns(tx)}`;
	return parseFirst(row, rows);
}

/** Alerts by id, of one tenant. */
export async function alertsByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<AlertRecord[]> {
	return parseRows(
		row,
		await sql`select ${columns(sql)} from alerts where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

function where(sql: Sql, tenantId: string, open: boolean | undefined) {
	if (open === undefined) return sql`tenant_id = ${tenantId}`;
	return sql`tenant_id = ${tenantId} and acknowledged_at is ${open ? sql`` : sql`not`} null`;
}

/** One page of alerts, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfAlerts(
	sql: Sql,
	tenantId: string,
	open: boolean | undefined,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<AlertRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from alerts
		where ${where(sql, tenantId, open)}
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many alerts there are. */
export async function countAlerts(sql: Sql, tenantId: string, open: boolean | undefined): Promise<number> {
	const rows = await sql`select count(*) as total from alerts where ${where(sql, tenantId, open)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Deletes a bounded number of the oldest acknowledged alerts below an id; what nobody has seen stays. Returns how many went. */
export async function pruneAlerts(sql: Sql, below: string, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from alerts where id < ${below} and acknowledged_at is not null order by id limit ${limit} for update skip locked)
		delete from alerts a using old where a.id = old.id`;
	return gone.count;
}
