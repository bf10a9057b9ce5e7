import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { parseFirst, parseRows } from "../db/rows.ts";

/** The tenant of this slug; undefined when there is none. */
export async function tenantBySlug(sql: Sql, slug: string): Promise<string | undefined> {
	return parseFirst(v.object({ id: v.string() }), await sql`select id from tenants where slug = ${slug} limit 1`)?.id;
}

/** Makes a tenant unless it exists. */
export async function insertTenant(sql: Sql, id: string, slug: string, at: number): Promise<void> {
	await sql`insert into tenants (id, slug, name, created_at) values (${id}, ${slug}, ${slug}, ${new Date(at)}) on conflict (slug) do nothing`;
}

const credentialRow = v.object({
	id: v.string(),
	tenantId: v.string(),
	workerId: v.string(),
	/** False for an API key that several workers may use. */
	own: v.boolean(),
	hash: v.instance(Uint8Array),
	revoked: v.boolean(),
	used: v.boolean(),
	state: v.picklist(["ACTIVE", "PENDING", "REVOKED"]),
	name: v.string(),
	hostId: v.nullable(v.string()),
	hostName: v.nullable(v.string()),
	siteId: v.nullable(v.string()),
});
export type CredentialRow = v.InferOutput<typeof credentialRow>;

/** The credential with this selector and the worker it is of; of an API key that several may use, this worker if it is one of them. */
export async function credentialBySelector(sql: Sql, selector: string, workerId: string): Promise<CredentialRow | undefined> {
	return parseFirst(credentialRow, await sql`${credential(sql, workerId)} where c.selector = ${selector} limit 1`);
}

/**
 * The API key that is this whole text, of the worker that may use it. Undefined also when two tenants chose the same text and the same worker
 * id: nobody could say which of them asks.
 */
export async function credentialByText(sql: Sql, hash: Uint8Array, workerId: string): Promise<CredentialRow | undefined> {
	const rows = await sql`
		${credential(sql, workerId)} where c.hash = ${hash} and c.worker_id is null and c.revoked_at is null limit 2`;
	return rows.length === 1 ? parseFirst(credentialRow, rows) : undefined;
}

function credential(sql: Sql, workerId: string) {
	return sql`
		select c.id, c.tenant_id, w.id as worker_id, c.worker_id is not null as own, c.hash, c.revoked_at is not null as revoked,
			coalesce(c.first_used_at, g.first_used_at) is not null as used, w.state, w.name, h.id as host_id, h.name as host_name, w.site_id
		from credentials c
		left join api_key_grants g on c.worker_id is null and g.credential_id = c.id and g.tenant_id = c.tenant_id and g.worker_id = ${workerId}
		join workers w on w.tenant_id = c.tenant_id and w.id = coalesce(c.worker_id, g.worker_id)
		left join hosts h on h.tenant_id = w.tenant_id and h.worker_id = w.id`;
}

/**
 * Marks a credential as used for the first time and revokes the worker's older ones: an old credential lives until the new one has worked
 * (S4). Older by the database's own count: the servers' clocks may differ. Returns the ids revoked; none when another server did it first.
 */
export async function firstUse(
	tx: Tx,
	credential: Pick<CredentialRow, "id" | "tenantId" | "workerId" | "own">,
	at: number,
): Promise<string[]> {
	const { id, tenantId, workerId } = credential;
	const marked = credential.own
		? await tx`
			update credentials set first_used_at = ${new Date(at)} where id = ${id} and first_used_at is null and revoked_at is null returning seq`
		: await tx`
			update api_key_grants set first_used_at = ${new Date(at)}
			where tenant_id = ${tenantId} and worker_id = ${workerId} and credential_id = ${id} and first_used_at is null returning seq`;
	const seq = parseFirst(v.object({ seq: v.bigint() }), marked)?.seq;
	if (seq === undefined) return [];
	const revoked = await tx`
		update credentials set revoked_at = ${new Date(at)}
		where tenant_id = ${tenantId} and worker_id = ${workerId} and seq < ${seq} and revoked_at is null returning id`;
	const taken = await tx`
		delete from api_key_grants where tenant_id = ${tenantId} and worker_id = ${workerId} and seq < ${seq} returning credential_id as id`;
	return parseRows(v.object({ id: v.string() }), [...revoked, ...taken]).map(({ id }) => id);
}

/** Whether a worker may still use a credential. */
export async function isCredentialLive(
	sql: Sql,
	{ credentialId, tenantId, workerId }: { readonly credentialId: string; readonly tenantId: string; readonly workerId: string },
): Promise<boolean> {
	const rows = await sql`
		select c.id from credentials c
		join workers w on w.tenant_id = c.tenant_id and w.id = ${workerId} and w.state = 'ACTIVE'
		where c.id = ${credentialId} and c.tenant_id = ${tenantId} and c.revoked_at is null
			and (c.worker_id = w.id or exists (
				select from api_key_grants g where g.tenant_id = w.tenant_id and g.worker_id = w.id and g.credential_id = c.id))`;
	return rows.length === 1;
}

/** Revokes every credential of a worker, and takes from it the API keys that it shares. Returns the ids. */
export async function revokeCredentials(tx: Tx, tenantId: string, workerId: string, at: number): Promise<string[]> {
	const taken =
		await tx`delete from api_key_grants where tenant_id = ${tenantId} and worker_id = ${workerId} returning credential_id as id`;
	const rows = await tx`
		update credentials set revoked_at = ${new Date(at)}
		where tenant_id = ${tenantId} and worker_id = ${workerId} and revoked_at is null returning id`;
	return parseRows(v.object({ id: v.string() }), [...rows, ...taken]).map(({ id }) => id);
}
