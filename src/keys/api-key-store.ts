import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import type { ApiKeyRecord, NewApiKey } from "./api-key.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	name: v.string(),
	hint: v.string(),
	shared: v.boolean(),
	createdAt: time,
	revokedAt: v.nullable(time),
	lastUsedAt: v.nullable(time),
});

function columns(sql: Sql | Tx) {
	return sql`id, tenant_id, name, hint, kind = 'shared' as shared, created_at, revoked_at, last_used_at`;
}

/** Adds an API key; false when its selector is taken, which for a text of ours means that the very key is known. */
export async function insertApiKey(tx: Tx, key: NewApiKey): Promise<boolean> {
	const rows = await tx`
		insert into credentials (id, tenant_id, kind, name, selector, hash, hint, created_at)
		values (${key.id}, ${key.tenantId}, ${key.shared ? "shared" : "named"}, ${key.name}, ${key.selector}, decode(${key.hash}, 'hex'), ${key.hint},
			${new Date(key.createdAt)})
		on conflict (selector) do nothing returning id`;
	return rows.length === 1;
}

/** API keys by id, of one tenant. */
export async function apiKeysByIds(sql: Sql | Tx, tenantId: string, ids: readonly string[]): Promise<ApiKeyRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from credentials
		where tenant_id = ${tenantId} and worker_id is null and id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** Locks an API key against revocation until the transaction ends; undefined when there is none that is still good. */
export async function lockLiveApiKey(tx: Tx, tenantId: string, id: string): Promise<ApiKeyRecord | undefined> {
	const rows = await tx`
		select ${columns(tx)} from credentials
		where tenant_id = ${tenantId} and id = ${id} and worker_id is null and revoked_at is null for share`;
	return parseFirst(row, rows);
}

/** The shared key of this hash that is still good: the same text given again is the same key. */
export async function sharedKeyByHash(tx: Tx, tenantId: string, hash: string): Promise<ApiKeyRecord | undefined> {
	const rows = await tx`
		select ${columns(tx)} from credentials
		where tenant_id = ${tenantId} and kind = 'shared' and hash = decode(${hash}, 'hex') and revoked_at is null order by seq desc limit 1 for share`;
	return parseFirst(row, rows);
}

/** Whether a key of this hash was revoked: a text that leaked once must not come back. */
export async function wasRevoked(tx: Tx, tenantId: string, hash: string): Promise<boolean> {
	const rows = await tx`
		select from credentials
		where tenant_id = ${tenantId} and worker_id is null and hash = decode(${hash}, 'hex') and revoked_at is not null limit 1`;
	return rows.length > 0;
}

/** Ends an API key; false when it was revoked before or there is none. */
export async function endApiKey(tx: Tx, tenantId: string, id: string, at: number): Promise<boolean> {
	const rows = await tx`
		update credentials set revoked_at = ${new Date(at)}
		where tenant_id = ${tenantId} and id = ${id} and worker_id is null and revoked_at is null returning id`;
	return rows.length === 1;
}

/** Notes that an API key is in use. Another server that notes it at the same moment is not waited for. */
export async function touchApiKey(sql: Sql, id: string, at: number): Promise<void> {
	await sql`
		update credentials set last_used_at = ${new Date(at)}
		where id in (select id from credentials where id = ${id} and (last_used_at is null or last_used_at < ${new Date(at)}) for update skip locked)`;
}

/** Lets workers use API keys. One that is granted again is the worker's newest again, and ends the others when it is used. */
export async function saveGrants(
	tx: Tx,
	grants: readonly { readonly tenantId: string; readonly workerId: string; readonly credentialId: string; readonly at: number }[],
): Promise<void> {
	if (grants.length === 0) return;
	await tx`
		insert into api_key_grants (tenant_id, worker_id, credential_id, seq, granted_at)
		select "tenantId", "workerId", "credentialId", nextval(pg_get_serial_sequence('credentials', 'seq')), to_timestamp(at / 1000.0)
		from jsonb_to_recordset(${tx.json(grants as never)}) as r ("tenantId" text, "workerId" text, "credentialId" text, at double precision)
		on conflict (tenant_id, worker_id, credential_id) do update
		set seq = excluded.seq, granted_at = excluded.granted_at, first_used_at = null`;
}

/** One page of API keys, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfApiKeys(
	sql: Sql,
	tenantId: string,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<ApiKeyRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from credentials
		where tenant_id = ${tenantId} and worker_id is null
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many API keys a tenant has. */
export async function countApiKeys(sql: Sql, tenantId: string): Promise<number> {
	const rows = await sql`select count(*) as total from credentials where tenant_id = ${tenantId} and worker_id is null`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}
