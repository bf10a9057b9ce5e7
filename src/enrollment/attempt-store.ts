import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { enrollmentMethods, outcomes, refusals } from "../protocol/codes.ts";
import type { AttemptRecord } from "./attempt.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.nullable(v.string()),
	at: time,
	method: v.nullable(v.picklist(enrollmentMethods)),
	accepted: v.boolean(),
	outcome: v.nullable(v.picklist(outcomes)),
	reason: v.nullable(v.picklist(refusals)),
	sourceAddress: v.string(),
	claimedName: v.nullable(v.string()),
	hostname: v.nullable(v.string()),
	machineUid: v.nullable(v.string()),
	siteId: v.nullable(v.string()),
	hostId: v.nullable(v.string()),
	workerId: v.nullable(v.string()),
	keyId: v.nullable(v.string()),
});

function columns(sql: Sql) {
	return sql`id, tenant_id, at, method, accepted, outcome, reason, source_address, claimed_name, hostname, machine_uid, site_id, host_id, worker_id, key_id`;
}

/** In the order of the insert's columns. */
const inserted = {
	id: "text",
	tenantId: "text",
	at: "time",
	method: "text",
	accepted: "boolean",
	outcome: "text",
	reason: "text",
	sourceAddress: "text",
	claimedName: "text",
	hostname: "text",
	machineUid: "text",
	siteId: "text",
	hostId: "text",
	workerId: "text",
	keyId: "text",
} as const;

/** Writes attempts with one statement. */
export async function insertAttempts(tx: Tx, attempts: readonly AttemptRecord[]): Promise<void> {
	if (attempts.length === 0) return;
	await tx`
		insert into attempts (id, tenant_id, at, method, accepted, outcome, reason, source_address, claimed_name, hostname, machine_uid, site_id,
			host_id, worker_id, key_id)
		select * from ${recordset(tx, attempts, inserted)} as r`;
}

export interface AttemptFilter {
	readonly siteId?: string;
	readonly hostId?: string;
	readonly reason?: string;
}

function where(sql: Sql, tenantId: string, filter: AttemptFilter) {
	return sql`tenant_id = ${tenantId}
		${filter.siteId === undefined ? sql`` : sql`and site_id = ${filter.siteId}`}
		${filter.hostId === undefined ? sql`` : sql`and host_id = ${filter.hostId}`}
		${filter.reason === undefined ? sql`` : sql`and reason = ${filter.reason}`}`;
}

/** One page of attempts, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfAttempts(
	sql: Sql,
	tenantId: string,
	filter: AttemptFilter,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<AttemptRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from attempts
		where ${where(sql, tenantId, filter)}
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many attempts the filter lets through. */
export async function countAttempts(sql: Sql, tenantId: string, filter: AttemptFilter): Promise<number> {
	const rows = await sql`select count(*) as total from attempts where ${where(sql, tenantId, filter)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Attempts by id, of one tenant. */
export async function attemptsByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<AttemptRecord[]> {
	return parseRows(
		row,
		await sql`select ${columns(sql)} from attempts where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** Attempts by id, whoever's they are: for the outbox, which delivers each to its tenant only. */
export async function attemptsAnywhere(sql: Sql, ids: readonly string[]): Promise<AttemptRecord[]> {
	if (ids.length === 0) return [];
	return parseRows(row, await sql`select ${columns(sql)} from attempts where id = any (${[...ids]}::text[]) limit ${ids.length}`);
}

/**
 * Deletes the oldest attempts below an id, a bounded number, and with them what the audit says of the refused ones: the lines of an attempt
 * are minted in its millisecond. Admissions stay in the audit as long as the rest of it. Returns how many attempts went.
 */
export async function pruneAttempts(sql: Sql, below: string, limit: number): Promise<number> {
	const rows = await sql`
		with old as materialized (select id from attempts where id < ${below} order by id limit ${limit} for update skip locked), gone as (
			delete from attempts a using old where a.id = old.id
			returning a.id
		), range as (select min(id) as first, max(id) as last from gone), told as (
			delete from audit using range
			where audit.id >= 'aud_' || substr(range.first, 5, 10) and audit.id < 'aud_' || substr(range.last, 5, 10) || '~'
				and audit.action = 'enrollment.refused'
		)
		select count(*) as total from gone`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** About how many attempts there are, as PostgreSQL's own statistics have it; 0 when they were lost, so nothing is deleted by mistake. */
export async function attemptsKept(sql: Sql): Promise<number> {
	const rows = await sql`select n_live_tup as total from pg_stat_user_tables where relid = 'attempts'::regclass`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}
