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

/** The credential with this selector and the worker it is of. */
export async function credentialBySelector(sql: Sql, selector: string): Promise<CredentialRow | undefined> {
	const rows = await sql`
		select c.id, c.tenant_id, c.worker_id, c.hash, c.revoked_at is not null as revoked, c.first_used_at is not null as used,
			w.state, w.name, h.id as host_id, h.name as host_name, w.site_id
		from credentials c
		join workers w on w.tenant_id = c.tenant_id and w.id = c.worker_id
		left join hosts h on h.tenant_id = w.tenant_id and h.worker_id = w.id
		where c.selector = ${selector} limit 1`;
	return parseFirst(credentialRow, rows);
}

/**
 * Marks a credential as used for the first time and revokes the worker's older ones: an old credential lives until the new one has worked
 * (S4). Older by the database's own count: the servers' clocks may differ. Returns the ids revoked; none when another server did it first.
 */
export async function firstUse(
	tx: Tx,
	credential: { readonly id: string; readonly tenantId: string; readonly workerId: string },
	at: number,
): Promise<string[]> {
	const marked = await tx`
		update credentials set first_used_at = ${new Date(at)} where id = ${credential.id} and first_used_at is null and revoked_at is null returning created_at`;
	if (marked.length === 0) return [];
	const revoked = await tx`
		update credentials set revoked_at = ${new Date(at)}
		where tenant_id = ${credential.tenantId} and worker_id = ${credential.workerId} and seq < (select seq from credentials where id = ${credential.id}) and revoked_at is null
		returning id`;
	return parseRows(v.object({ id: v.string() }), revoked).map(({ id }) => id);
}

/** Whether a credential is still good. */
export async function isCredentialLive(sql: Sql, id: string): Promise<boolean> {
	const rows = await sql`
		select c.id from credentials c
		join workers w on w.tenant_id = c.tenant_id and w.id = c.worker_id and w.state = 'ACTIVE'
		where c.id = ${id} and c.revoked_at is null`;
	return rows.length === 1;
}

/** Revokes every credential of a worker. Returns the ids. */
export async function revokeCredentials(tx: Tx, tenantId: string, workerId: string, at: number): Promise<string[]> {
	const rows = await tx`
		update credentials set revoked_at = ${new Date(at)}
		where tenant_id = ${tenantId} and worker_id = ${workerId} and revoked_at is null returning id`;
	return parseRows(v.object({ id: v.string() }), rows).map(({ id }) => id);
}
