import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import type { HostRecord } from "./host.ts";
import { type FuseProvider, fuseProviders, type HostState, hostStates, type Life, stableStates } from "./lifecycle.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	name: v.string(),
	siteId: v.nullable(v.string()),
	workerId: v.nullable(v.string()),
	state: v.picklist(hostStates),
	lastKnownState: v.picklist(stableStates),
	meshAddress: v.nullable(v.string()),
	fuseProvider: v.nullable(v.picklist(fuseProviders)),
	monitoringSince: v.nullable(time),
	createdAt: time,
});

function columns(sql: Sql | Tx) {
	return sql`h.id, h.tenant_id, h.name, h.site_id, h.worker_id, h.state, h.last_known_state, h.mesh_address, h.fuse_provider, h.monitoring_since, h.created_at`;
}

/** Hosts by id, of one tenant. */
export async function hostsByIds(sql: Sql | Tx, tenantId: string, ids: readonly string[]): Promise<HostRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from hosts h where h.tenant_id = ${tenantId} and h.id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** Hosts of workers, of one tenant. */
export async function hostsOfWorkers(sql: Sql | Tx, tenantId: string, workerIds: readonly string[]): Promise<HostRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from hosts h
		where h.tenant_id = ${tenantId} and h.worker_id = any (${[...workerIds]}::text[]) limit ${workerIds.length}`,
	);
}

/** The newest host of this name. */
export async function hostByName(sql: Sql, tenantId: string, name: string): Promise<HostRecord | undefined> {
	const rows =
		await sql`select ${columns(sql)} from hosts h where h.tenant_id = ${tenantId} and h.name = ${name} order by h.id desc limit 1`;
	return parseFirst(row, rows);
}

export interface HostFilter {
	readonly siteId?: string;
	readonly state?: HostState;
	/** Part of the name, in any case. */
	readonly name?: string;
}

function where(sql: Sql, tenantId: string, filter: HostFilter) {
	return sql`h.tenant_id = ${tenantId}
		${filter.siteId === undefined ? sql`` : sql`and h.site_id = ${filter.siteId}`}
		${filter.state === undefined ? sql`` : sql`and h.state = ${filter.state}`}
		${filter.name === undefined ? sql`` : sql`and strpos(lower(h.name), lower(${filter.name})) > 0`}`;
}

/** One page of hosts, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfHosts(
	sql: Sql,
	tenantId: string,
	filter: HostFilter,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean; readonly skip?: number },
): Promise<HostRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from hosts h
		where ${where(sql, tenantId, filter)}
			${page.after === undefined ? sql`` : sql`and h.id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and h.id > ${page.before}`}
		order by h.id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit} offset ${page.skip ?? 0}`,
	);
}

/** How many hosts the filter lets through. */
export async function countHosts(sql: Sql, tenantId: string, filter: HostFilter): Promise<number> {
	const rows = await sql`select count(*) as total from hosts h where ${where(sql, tenantId, filter)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/**
 * Moves hosts along: only those whose place is still `from`, so that of two concurrent changes one wins. Returns what changed.
 * The row count is the answer.
 */
export async function moveHosts(tx: Tx, ids: readonly string[], from: Life, to: Life): Promise<HostRecord[]> {
	return parseRows(
		row,
		await tx`
		update hosts h set state = ${to.state}, last_known_state = ${to.lastKnownState}
		where h.id = any (${[...ids]}::text[]) and h.state = ${from.state} and h.last_known_state = ${from.lastKnownState}
		returning ${columns(tx)}`,
	);
}

/** Moves one host along, with what its container actions go through from now on; undefined when its place is not `from` any more. */
export async function moveHost(tx: Tx, from: HostRecord, to: Life, fuseProvider: FuseProvider | null): Promise<HostRecord | undefined> {
	const rows = await tx`
		update hosts h set state = ${to.state}, last_known_state = ${to.lastKnownState}, fuse_provider = ${fuseProvider}
		where h.tenant_id = ${from.tenantId} and h.id = ${from.id} and h.state = ${from.state} and h.last_known_state = ${from.lastKnownState}
		returning ${columns(tx)}`;
	return parseFirst(row, rows);
}

/** Hosts of active workers that were not heard since `cutoff`, locked for the caller; rows that another server holds are left to it. */
export async function lockStaleHosts(tx: Tx, cutoff: number, limit: number): Promise<HostRecord[]> {
	return parseRows(
		row,
		await tx`
		select ${columns(tx)} from hosts h
		join workers w on w.tenant_id = h.tenant_id and w.id = h.worker_id and w.state = 'ACTIVE'
		left join heartbeats b on b.tenant_id = h.tenant_id and b.worker_id = h.worker_id
		where h.state in ('MONITORING', 'FUSED')
			and greatest(b.at, h.monitoring_since) < ${new Date(cutoff)}
		order by h.id limit ${limit} for update of h skip locked`,
	);
}

/** The workers that these hosts have, as they stand; the caller locks them and looks again. */
export async function workersOfHosts(tx: Tx, ids: readonly string[]): Promise<{ readonly tenantId: string; readonly workerId: string }[]> {
	const rows =
		await tx`select tenant_id, worker_id from hosts where id = any (${[...ids]}::text[]) and worker_id is not null limit ${ids.length}`;
	return parseRows(v.object({ tenantId: v.string(), workerId: v.string() }), rows);
}

/**
 * Whether a host of this name waits for its worker, and its id. Two that would make one of the same name follow each other: a lock on the name
 * itself, held until the transaction ends.
 */
export async function lockNameOfHost(tx: Tx, tenantId: string, name: string): Promise<string | undefined> {
	await tx`select pg_advisory_xact_lock(hashtextextended(${`host ${tenantId} ${name}`}, 0))`;
	const rows = await tx`
		select id from hosts where tenant_id = ${tenantId} and name = ${name} and worker_id is null and state = 'PENDING' order by id limit 1`;
	return parseFirst(v.object({ id: v.string() }), rows)?.id;
}

/** Takes a host that has tokens of its own away from its worker, so that it outlives it; a host made for the worker goes with it. */
export async function releaseTokenHost(tx: Tx, tenantId: string, id: string): Promise<void> {
	await tx`
		update hosts h set worker_id = null where h.tenant_id = ${tenantId} and h.id = ${id}
			and exists (select from keys k where k.host_id = h.id and k.kind = 'host')`;
}

/** Deletes a host that has no worker; false when there is none such. */
export async function deleteHostRow(tx: Tx, tenantId: string, id: string): Promise<boolean> {
	const rows = await tx`delete from hosts where tenant_id = ${tenantId} and id = ${id} and worker_id is null returning id`;
	return rows.length === 1;
}

/** Locks hosts in id order. */
export async function lockHosts(tx: Tx, ids: readonly string[]): Promise<HostRecord[]> {
	if (ids.length === 0) return [];
	return parseRows(
		row,
		await tx`
		select ${columns(tx)} from hosts h where h.id = any (${[...ids]}::text[]) order by h.id limit ${ids.length} for no key update`,
	);
}

/** In the order of the insert's columns. */
const addedHost = {
	id: "text",
	tenantId: "text",
	name: "text",
	siteId: "text",
	workerId: "text",
	state: "text",
	lastKnownState: "text",
	monitoringSince: "time",
	createdAt: "time",
} as const;

/** Writes hosts in their final form. The caller holds the lock on those that exist. */
export async function saveHosts(tx: Tx, added: readonly HostRecord[], changed: readonly HostRecord[]): Promise<void> {
	const writes = [];
	// A worker has one host at any moment: who gives one up does so before the other takes it.
	const detached = changed.flatMap(({ id, workerId }) => (workerId === null ? [id] : []));
	if (detached.length > 0) writes.push(tx`update hosts set worker_id = null where id = any (${detached}::text[])`);
	if (added.length > 0) {
		writes.push(tx`
			insert into hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, monitoring_since, created_at)
			select * from ${recordset(tx, added, addedHost)} as r`);
	}
	if (changed.length > 0) {
		writes.push(tx`
			update hosts h set name = r.name, site_id = r."siteId", worker_id = r."workerId", state = r.state, last_known_state = r."lastKnownState",
				monitoring_since = r."monitoringSince"
			from ${recordset(tx, changed, addedHost)} as r
			where h.id = r.id`);
	}
	await Promise.all(writes);
}
