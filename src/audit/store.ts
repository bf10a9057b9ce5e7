import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import type { AuditRecord, SearchTerm } from "./audit.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	at: time,
	actor: v.string(),
	action: v.string(),
	subject: v.string(),
	detail: v.nullable(v.record(v.string(), v.unknown())),
});

/** In the order of the insert's columns. */
const inserted = { id: "text", tenantId: "text", at: "time", actor: "text", action: "text", subject: "text", detail: "jsonb" } as const;

/** Writes audit lines in the transaction of the change (S7): no change without its line, no line without its change. */
export async function record(tx: Tx, entries: readonly AuditRecord[]): Promise<void> {
	if (entries.length === 0) return;
	await tx`
		insert into audit (id, tenant_id, at, actor, action, subject, detail)
		select * from ${recordset(tx, entries, inserted)} as r`;
}

/** Audit lines by id, of one tenant. */
export async function auditByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<AuditRecord[]> {
	return parseRows(
		row,
		await sql`
		select id, tenant_id, at, actor, action, subject, detail from audit
		where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** What a search keeps: lines that hold every one of these terms. */
export interface AuditFilter {
	readonly terms?: readonly SearchTerm[];
}

/** The index audit_terms has the same expression. */
function where(sql: Sql, tenantId: string, { terms = [] }: AuditFilter) {
	return sql`tenant_id = ${tenantId} ${
		terms.length === 0
			? sql``
			: sql`and (case when action like 'enrollment.%'
				then array_to_tsvector(array_remove(string_to_array(lower(left(
					replace(action, '.', ' ') || ' ' || substr(actor, strpos(actor, ':') + 1) || ' ' || subject || ' ' || coalesce(detail ->> 'name', '')
						|| ' ' || coalesce(detail ->> 'machineUid', '') || ' ' || replace(coalesce(detail ->> 'reason', ''), '_', ' '), 500)
					collate "C"), ' '), ''))
				else array_to_tsvector(string_to_array(btrim(regexp_replace(
					lower(left(action || ' ' || actor || ' ' || subject || ' ' || coalesce(detail::text, ''), 500) collate "C"),
					'[\\x01-\\x2f\\x3a-\\x60\\x7b-\\x7f]+', ' ', 'g')), ' ')) end)
				@@ ${terms.map(asQuery).join(" & ")}::tsquery`
	}`;
}

/** The term in PostgreSQL's words, where a quoted text means nothing but itself. */
function asQuery({ whole, words }: SearchTerm): string {
	return `(${[words.map(beginning).join(" & "), ...whole.map(beginning)].join(" | ")})`;
}

function beginning(text: string): string {
	return `'${text.replace(/['\\]/g, (sign) => sign + sign)}':*`;
}

/** One page of the audit log, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfAudit(
	sql: Sql,
	tenantId: string,
	filter: AuditFilter,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<AuditRecord[]> {
	return parseRows(
		row,
		await sql`
		select id, tenant_id, at, actor, action, subject, detail from audit
		where ${where(sql, tenantId, filter)}
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many audit lines the filter lets through. */
export async function countAudit(sql: Sql, tenantId: string, filter: AuditFilter): Promise<number> {
	const rows = await sql`select count(*) as total from audit where ${where(sql, tenantId, filter)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Deletes a bounded number of the oldest lines below an id. Returns how many went. */
export async function pruneAudit(sql: Sql, below: string, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (select id from audit where id < ${below} order by id limit ${limit} for update skip locked)
		delete from audit a using old where a.id = old.id`;
	return gone.count;
}
