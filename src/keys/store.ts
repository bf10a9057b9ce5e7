import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, labelMap, parseFirst, parseRows, time } from "../db/rows.ts";
import type { KeyRecord } from "./key.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	kind: v.picklist(["site", "enroll", "host", "auto"]),
	siteId: v.nullable(v.string()),
	fleetId: v.nullable(v.string()),
	hostId: v.nullable(v.string()),
	name: v.string(),
	verifier: v.string(),
	hint: v.string(),
	version: v.number(),
	active: v.boolean(),
	maxUses: v.nullable(v.number()),
	uses: count,
	expiresAt: v.nullable(time),
	revokedAt: v.nullable(time),
	graceEndsAt: v.nullable(time),
	consumedAt: v.nullable(time),
	lastUsedAt: v.nullable(time),
	lastWorkerId: v.nullable(v.string()),
	allowedCidrs: v.array(v.string()),
	labels: labelMap,
	createdAt: time,
});

function columns(sql: Sql | Tx) {
	return sql`id, tenant_id, kind, site_id, fleet_id, host_id, name, verifier, hint, version, active, max_uses, uses, expires_at,
		revoked_at, grace_ends_at, consumed_at, last_used_at, last_worker_id, allowed_cidrs, labels, created_at`;
}

/** What a presented key is checked against, with the names its claim must match. Reads without a lock: the verdict decides under one. */
export interface KeyToProve {
	readonly id: string;
	readonly tenantId: string;
	readonly tenantSlug: string;
	readonly siteCode: string | null;
	readonly verifier: string;
	readonly hint: string;
}

/** The key with this selector, of any tenant: the selector is unique and public. */
export async function keyBySelector(sql: Sql, kind: KeyRecord["kind"], selector: string): Promise<KeyToProve | undefined> {
	const rows = await sql`
		select k.id, k.tenant_id, t.slug as tenant_slug, s.code as site_code, k.verifier, k.hint
		from keys k
		join tenants t on t.id = k.tenant_id
		left join sites s on s.id = k.site_id
		where k.selector = ${selector} and k.kind = ${kind}
		limit 1`;
	const schema = v.object({
		id: v.string(),
		tenantId: v.string(),
		tenantSlug: v.string(),
		siteCode: v.nullable(v.string()),
		verifier: v.string(),
		hint: v.string(),
	});
	return parseFirst(schema, rows);
}

/** Locks the keys in id order, so that two batches never wait for each other in a circle; uses are exact under this lock. */
export async function lockKeys(tx: Tx, ids: readonly string[]): Promise<KeyRecord[]> {
	const rows = await tx`select ${columns(tx)} from keys where id = any (${[...ids]}::text[]) order by id limit ${ids.length} for update`;
	return parseRows(row, rows);
}

/** Counts uses. The table's check refuses more than max_uses, whatever the caller believed. */
export async function addUses(
	tx: Tx,
	uses: readonly {
		readonly id: string;
		readonly uses: number;
		readonly at: number;
		readonly workerId: string;
		readonly consumed: boolean;
	}[],
): Promise<void> {
	if (uses.length === 0) return;
	await tx`
		update keys k
		set uses = k.uses + u.uses, last_used_at = to_timestamp(u.at / 1000.0), last_worker_id = u."workerId",
			consumed_at = case when u.consumed then to_timestamp(u.at / 1000.0) else k.consumed_at end
		from jsonb_to_recordset(${tx.json(uses as never)}) as u (id text, uses int, at double precision, "workerId" text, consumed boolean)
		where k.id = u.id`;
}

/** The active key of each site, in no order. */
export async function activeSiteKeys(sql: Sql, tenantId: string, siteIds: readonly string[]): Promise<KeyRecord[]> {
	const rows = await sql`
		select ${columns(sql)} from keys
		where tenant_id = ${tenantId} and kind = 'site' and active and site_id = any (${[...siteIds]}::text[]) limit ${siteIds.length}`;
	return parseRows(row, rows);
}

/** Keys by id, of one tenant. */
export async function keysByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<KeyRecord[]> {
	const rows = await sql`
		select ${columns(sql)} from keys where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`;
	return parseRows(row, rows);
}

/**
 * Takes the site's active key out of service, with it every former one whose grace would last longer, and returns its version, 0 when there was none. Locks the site's row first, so
 * that two rotations of one site follow each other and each gets a version of its own. Not FOR UPDATE: an enrollment that holds the key
 * takes a key share of the site for its worker's foreign key, and each would wait for the other.
 */
export async function retireSiteKey(tx: Tx, siteId: string, graceEndsAt: number | null): Promise<number> {
	await tx`select id from sites where id = ${siteId} for no key update`;
	await tx`
		update keys set active = false, grace_ends_at = ${graceEndsAt === null ? null : new Date(graceEndsAt)}
		where site_id = ${siteId} and kind = 'site' and active`;
	// Those rotated away earlier may not outlive this rotation: without a grace it ends every former key at once.
	await tx`
		update keys set grace_ends_at = ${graceEndsAt === null ? null : new Date(graceEndsAt)}
		where site_id = ${siteId} and kind = 'site' and not active and grace_ends_at > ${new Date(graceEndsAt ?? 0)}`;
	const rows = await tx`select coalesce(max(version), 0) as version from keys where site_id = ${siteId} and kind = 'site'`;
	return parseFirst(v.object({ version: v.number() }), rows)?.version ?? 0;
}

/** Adds a key. */
export async function insertKey(
	tx: Tx,
	key: Omit<KeyRecord, "uses" | "lastUsedAt" | "lastWorkerId"> & { readonly selector: string | null },
): Promise<void> {
	await tx`
		insert into keys (id, tenant_id, kind, site_id, fleet_id, host_id, name, selector, verifier, hint, version, active, max_uses, expires_at,
			revoked_at, grace_ends_at, consumed_at, allowed_cidrs, labels, created_at)
		values (${key.id}, ${key.tenantId}, ${key.kind}, ${key.siteId}, ${key.fleetId}, ${key.hostId}, ${key.name}, ${key.selector}, ${key.verifier},
			${key.hint}, ${key.version}, ${key.active}, ${key.maxUses}, ${date(key.expiresAt)}, ${date(key.revokedAt)}, ${date(key.graceEndsAt)},
			${date(key.consumedAt)}, ${[...key.allowedCidrs]}::text[], ${tx.json(key.labels)}, ${date(key.createdAt)})`;
}

function date(at: number | null): Date | null {
	return at === null ? null : new Date(at);
}
