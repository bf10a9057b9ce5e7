import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { count, labelMap, parseFirst, parseRows, time } from "../db/rows.ts";
import { exactly } from "../db/together.ts";
import { isExclusive, type KeyRecord } from "./key.ts";

/** A key as it is read. */
export const keyRow = v.object({
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

/** Its columns, in a statement that reads no other table. */
export function keyColumns(sql: Sql | Tx) {
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

const keyToProve = v.object({
	id: v.string(),
	tenantId: v.string(),
	tenantSlug: v.string(),
	siteCode: v.nullable(v.string()),
	verifier: v.string(),
	hint: v.string(),
	kind: v.string(),
	selector: v.string(),
});

/** The keys with these selectors, of any tenant, in the same order; undefined where there is none of that kind. Selectors are unique and public. */
export async function keysBySelectors(
	sql: Sql,
	asked: readonly { readonly kind: KeyRecord["kind"]; readonly selector: string }[],
): Promise<(KeyToProve | undefined)[]> {
	const rows = await sql`
		select k.id, k.tenant_id, t.slug as tenant_slug, s.code as site_code, k.verifier, k.hint, k.kind, k.selector
		from keys k
		join tenants t on t.id = k.tenant_id
		left join sites s on s.id = k.site_id
		where k.selector = any (${asked.map(({ selector }) => selector)}::text[])
		limit ${asked.length}`;
	const found = new Map(parseRows(keyToProve, rows).map(({ kind, selector, ...key }) => [`${kind} ${selector}`, key]));
	return asked.map(({ kind, selector }) => found.get(`${kind} ${selector}`));
}

/** Reads keys, and locks those that are exclusive (`isExclusive`) in id order, so that two batches never wait for each other in a circle; their uses are exact under this lock. */
export async function keysForUse(tx: Tx, ids: readonly string[]): Promise<KeyRecord[]> {
	const read = await tx`select ${keyColumns(tx)} from keys where id = any (${[...ids]}::text[]) order by id limit ${ids.length}`;
	const keys = parseRows(keyRow, read);
	const exclusive = keys.filter(isExclusive).map(({ id }) => id);
	if (exclusive.length === 0) return keys;
	const locked =
		await tx`select ${keyColumns(tx)} from keys where id = any (${exclusive}::text[]) order by id limit ${exclusive.length} for update`;
	return [...keys.filter((key) => !isExclusive(key)), ...parseRows(keyRow, locked)];
}

const useRow = {
	id: "text",
	uses: "int",
	at: "time",
	workerId: "text",
	consumed: "boolean",
	active: "boolean",
	revokedAt: "time",
	graceEndsAt: "time",
} as const;

/** Uses of one key, and what it was when the verdicts on them were passed. */
export interface KeyUse extends Pick<KeyRecord, "id" | "active" | "revokedAt" | "graceEndsAt"> {
	readonly uses: number;
	readonly at: number;
	readonly workerId: string;
	readonly consumed: boolean;
}

/**
 * Counts uses. Fails as a lost race (`isLostWrite`) when a key is not what it was when the verdict was passed (revoked, rotated, deleted): nothing of
 * the batch may be committed then. The table's check refuses more than max_uses, whatever the caller believed.
 */
export async function addUses(tx: Tx, uses: readonly KeyUse[]): Promise<void> {
	if (uses.length === 0) return;
	const counting = tx`
		update keys k
		set uses = k.uses + u.uses, last_used_at = u.at, last_worker_id = u."workerId", consumed_at = case when u.consumed then u.at else k.consumed_at end
		from ${recordset(tx, uses, useRow)} as u
		where k.id = u.id and k.active = u.active and k.revoked_at is not distinct from u."revokedAt" and k.grace_ends_at is not distinct from u."graceEndsAt"`;
	await exactly(counting, uses.length, "keys");
}

/** The active key of each site, in no order. */
export async function activeSiteKeys(sql: Sql, tenantId: string, siteIds: readonly string[]): Promise<KeyRecord[]> {
	const rows = await sql`
		select ${keyColumns(sql)} from keys
		where tenant_id = ${tenantId} and kind = 'site' and active and site_id = any (${[...siteIds]}::text[]) limit ${siteIds.length}`;
	return parseRows(keyRow, rows);
}

/** The keys that these sites had before their active ones, newest first, ten a site. */
export async function formerSiteKeys(sql: Sql, tenantId: string, siteIds: readonly string[]): Promise<KeyRecord[]> {
	const rows = await sql`
		select ${keyColumns(sql)} from unnest(${[...siteIds]}::text[]) as wanted (site)
		cross join lateral (
			select * from keys where tenant_id = ${tenantId} and kind = 'site' and not active and site_id = wanted.site order by version desc limit 10
		) keys`;
	return parseRows(keyRow, rows);
}

/** Keys by id, of one tenant. */
export async function keysByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<KeyRecord[]> {
	const rows = await sql`
		select ${keyColumns(sql)} from keys where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`;
	return parseRows(keyRow, rows);
}

/**
 * Takes the site's active key out of service, with it every former one whose grace would last longer, and returns its version, 0 when there was none. Locks the site's row first, so
 * that two rotations of one site follow each other and each gets a version of its own. Not FOR UPDATE: what names the site in the meantime (a
 * key, a fleet) takes a key share of it, and need not wait.
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

/** Locks a key of one kind and tenant; undefined when there is none. */
export async function lockKey(tx: Tx, tenantId: string, kind: KeyRecord["kind"], id: string): Promise<KeyRecord | undefined> {
	const rows = await tx`select ${keyColumns(tx)} from keys where tenant_id = ${tenantId} and kind = ${kind} and id = ${id} for update`;
	return parseFirst(keyRow, rows);
}

/** Revokes a key; the first to do so stays on record. False when it was revoked before. */
export async function endKey(tx: Tx, id: string, at: number): Promise<boolean> {
	const rows = await tx`update keys set revoked_at = ${new Date(at)} where id = ${id} and revoked_at is null returning id`;
	return rows.length === 1;
}

/** One page of enrollment keys, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfEnrollmentKeys(
	sql: Sql,
	tenantId: string,
	siteId: string | undefined,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<KeyRecord[]> {
	return parseRows(
		keyRow,
		await sql`
		select ${keyColumns(sql)} from keys
		where tenant_id = ${tenantId} and kind = 'enroll'
			${siteId === undefined ? sql`` : sql`and site_id = ${siteId}`}
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many enrollment keys there are. */
export async function countEnrollmentKeys(sql: Sql, tenantId: string, siteId: string | undefined): Promise<number> {
	const rows = await sql`
		select count(*) as total from keys
		where tenant_id = ${tenantId} and kind = 'enroll' ${siteId === undefined ? sql`` : sql`and site_id = ${siteId}`}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** The newest tokens of hosts that are neither used, revoked nor expired, in no order. */
export async function liveHostTokens(sql: Sql, tenantId: string, hostIds: readonly string[], now: number): Promise<KeyRecord[]> {
	return parseRows(
		keyRow,
		await sql`
		select ${keyColumns(sql)} from keys
		where tenant_id = ${tenantId} and kind = 'host' and host_id = any (${[...hostIds]}::text[])
			and consumed_at is null and revoked_at is null and expires_at > ${new Date(now)} limit ${hostIds.length}`,
	);
}

/**
 * Lets those who give a host tokens or take them away follow each other: a lock on the tokens as a whole, held until the transaction ends. A token
 * that another transaction adds has no row to lock yet. Before all other locks; enrollment needs it not, since it adds no tokens.
 */
async function lockHostTokens(tx: Tx, tenantId: string, hostId: string): Promise<void> {
	await tx`select pg_advisory_xact_lock(hashtextextended(${`host tokens ${tenantId} ${hostId}`}, 0))`;
}

/** Revokes a host's tokens that were not used: the next one is the only one. */
export async function endHostTokens(tx: Tx, tenantId: string, hostId: string, at: number): Promise<void> {
	await lockHostTokens(tx, tenantId, hostId);
	await tx`
		update keys set revoked_at = ${new Date(at)}
		where id in (select id from keys where tenant_id = ${tenantId} and host_id = ${hostId} and kind = 'host' and consumed_at is null and revoked_at is null order by id for update)`;
}

/** Removes every token of a host. */
export async function deleteHostTokens(tx: Tx, tenantId: string, hostId: string): Promise<void> {
	await lockHostTokens(tx, tenantId, hostId);
	await tx`delete from keys where id in (select id from keys where tenant_id = ${tenantId} and host_id = ${hostId} and kind = 'host' order by id for update)`;
}

/** A key that will soon let nobody in any more, though it could. */
export interface ExpiringKey {
	readonly id: string;
	readonly tenantId: string;
	readonly siteId: string | null;
	readonly kind: "enroll" | "site";
	readonly name: string;
	readonly version: number;
	readonly hint: string;
	readonly endsAt: number;
}

/**
 * Enrollment keys with uses left that are in the last tenth of their life (at most its last day), and former site keys in the last day of
 * their grace that workers enrolled with. At most `limit` of each; those with an alert already are left out.
 */
export async function expiringKeys(tx: Tx, now: number, limit: number): Promise<ExpiringKey[]> {
	const at = new Date(now);
	const rows = await tx`
		(select id, tenant_id, site_id, kind, name, version, hint, expires_at as ends_at from keys k
		where kind = 'enroll' and revoked_at is null and (max_uses is null or uses < max_uses) and expires_at > ${at}::timestamptz
			and expires_at < ${at}::timestamptz + interval '1 day' and expires_at - ${at}::timestamptz < least(interval '1 day', (expires_at - created_at) / 10)
			and not exists (select from alerts a where a.tenant_id = k.tenant_id and a.topic = 'expiring ' || k.id)
		order by id limit ${limit})
		union all
		(select id, tenant_id, site_id, kind, name, version, hint, grace_ends_at as ends_at from keys k
		where kind = 'site' and not active and revoked_at is null and grace_ends_at > ${at}::timestamptz and grace_ends_at < ${at}::timestamptz + interval '1 day'
			and not exists (select from alerts a where a.tenant_id = k.tenant_id and a.topic = 'expiring ' || k.id)
			and exists (select from workers w where w.tenant_id = k.tenant_id and w.key_id = k.id)
		order by id limit ${limit})`;
	const schema = v.object({
		id: v.string(),
		tenantId: v.string(),
		siteId: v.nullable(v.string()),
		kind: v.picklist(["enroll", "site"]),
		name: v.string(),
		version: v.number(),
		hint: v.string(),
		endsAt: time,
	});
	return parseRows(schema, rows);
}

function date(at: number | null): Date | null {
	return at === null ? null : new Date(at);
}
