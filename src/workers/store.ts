import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { count, labelMap, parseFirst, parseRows, time } from "../db/rows.ts";
import { enrollmentMethods, pendingReasons } from "../protocol/codes.ts";
import type { WorkerRecord, WorkerState, WorkerView } from "./worker.ts";

const row = v.object({
	tenantId: v.string(),
	id: v.string(),
	name: v.string(),
	hostname: v.nullable(v.string()),
	machineUid: v.nullable(v.string()),
	siteId: v.nullable(v.string()),
	fleetId: v.nullable(v.string()),
	keyId: v.nullable(v.string()),
	keyVersion: v.nullable(v.number()),
	method: v.picklist(enrollmentMethods),
	autoEnrolled: v.boolean(),
	state: v.picklist(["ACTIVE", "PENDING", "REVOKED"]),
	pendingReason: v.nullable(v.picklist(pendingReasons)),
	contestedUid: v.nullable(v.string()),
	contestedWorkerId: v.nullable(v.string()),
	evidence: v.nullable(v.record(v.string(), v.unknown())),
	labels: labelMap,
	version: v.nullable(v.string()),
	platform: v.nullable(v.string()),
	createdAt: time,
	enrolledAt: time,
	hostId: v.nullable(v.string()),
	lastHeartbeatAt: v.nullable(time),
});

/** The columns of a worker's view; the statement names `w`, `h` (host) and `b` (heartbeat). */
export function workerColumns(sql: Sql | Tx) {
	return sql`w.tenant_id, w.id, w.name, w.hostname, w.machine_uid, w.site_id, w.fleet_id, w.key_id, w.key_version, w.method, w.auto_enrolled,
		w.state, w.pending_reason, w.contested_uid, w.contested_worker_id, w.evidence, w.labels, w.version, w.platform, w.created_at, w.enrolled_at,
		h.id as host_id, b.at as last_heartbeat_at`;
}

function joins(sql: Sql | Tx) {
	return sql`left join hosts h on h.tenant_id = w.tenant_id and h.worker_id = w.id
		left join heartbeats b on b.tenant_id = w.tenant_id and b.worker_id = w.id`;
}

/** Reads rows that were selected with `workerColumns`. */
export function parseWorkers(rows: Iterable<unknown>): WorkerView[] {
	return parseRows(row, rows);
}

/** Workers by id, of one tenant. */
export async function workersByIds(sql: Sql | Tx, tenantId: string, ids: readonly string[]): Promise<WorkerView[]> {
	return parseWorkers(
		await sql`
		select ${workerColumns(sql)} from workers w ${joins(sql)}
		where w.tenant_id = ${tenantId} and w.id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

export interface WorkerFilter {
	readonly siteId?: string;
	readonly state?: WorkerState;
	readonly method?: string;
	readonly name?: string;
	readonly fleetId?: string;
	readonly label?: { readonly key: string; readonly value: string };
	readonly keyId?: string;
	readonly apiKeyId?: string;
}

/** A place in the list of workers: newest first, ties by id. */
export interface WorkerCursor {
	readonly createdAt: number;
	readonly id: string;
}

function where(sql: Sql, tenantId: string, filter: WorkerFilter) {
	return sql`w.tenant_id = ${tenantId}
		${filter.siteId === undefined ? sql`` : sql`and w.site_id = ${filter.siteId}`}
		${filter.state === undefined ? sql`` : sql`and w.state = ${filter.state}`}
		${filter.method === undefined ? sql`` : sql`and w.method = ${filter.method}`}
		${filter.fleetId === undefined ? sql`` : sql`and w.fleet_id = ${filter.fleetId}`}
		${filter.label === undefined ? sql`` : sql`and w.labels ->> ${filter.label.key} = ${filter.label.value}`}
		${filter.keyId === undefined ? sql`` : sql`and w.key_id = ${filter.keyId}`}
		${filter.apiKeyId === undefined ? sql`` : sql`and exists (select from api_key_grants g where g.tenant_id = w.tenant_id and g.worker_id = w.id and g.credential_id = ${filter.apiKeyId})`}
		${filter.name === undefined ? sql`` : sql`and strpos(lower(w.name), lower(${filter.name})) > 0`}`;
}

/** One page of workers, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfWorkers(
	sql: Sql,
	tenantId: string,
	filter: WorkerFilter,
	page: { readonly after?: WorkerCursor; readonly before?: WorkerCursor; readonly limit: number; readonly backward: boolean },
): Promise<WorkerView[]> {
	const { after, before } = page;
	return parseWorkers(
		await sql`
		select ${workerColumns(sql)} from workers w ${joins(sql)}
		where ${where(sql, tenantId, filter)}
			${after === undefined ? sql`` : sql`and (w.created_at, w.id) < (${new Date(after.createdAt)}, ${after.id})`}
			${before === undefined ? sql`` : sql`and (w.created_at, w.id) > (${new Date(before.createdAt)}, ${before.id})`}
		order by ${page.backward ? sql`w.created_at, w.id` : sql`w.created_at desc, w.id desc`}
		limit ${page.limit}`,
	);
}

/** How many workers the filter lets through. */
export async function countWorkers(sql: Sql, tenantId: string, filter: WorkerFilter): Promise<number> {
	const rows = await sql`select count(*) as total from workers w where ${where(sql, tenantId, filter)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Moves a worker from one of `from` to another state; false when it was in none of them. The row count is the answer. */
export async function changeState(tx: Tx, tenantId: string, id: string, from: readonly WorkerState[], to: WorkerState): Promise<boolean> {
	const rows = await tx`
		update workers set state = ${to}, pending_reason = null
		where tenant_id = ${tenantId} and id = ${id} and state = any (${[...from]}::text[])
		returning id`;
	return rows.length === 1;
}

/** Makes a held claimant a worker of its own with this uid. What it contested stays on record: by that its machine is known again. */
export async function takeMachine(tx: Tx, tenantId: string, id: string, uid: string): Promise<void> {
	await tx`
		update workers set state = 'ACTIVE', pending_reason = null, machine_uid = ${uid},
			contested_uid = case when contested_uid = ${uid} then null else contested_uid end
		where tenant_id = ${tenantId} and id = ${id} and state = 'PENDING'`;
}

/**
 * Hands what a held claimant was answered over to the worker that adopts it: its next question is answered as that worker. The worker takes the
 * claimant's hostname, so that the machine is not taken for a second one again.
 */
export async function giveClaims(tx: Tx, claimant: WorkerView, worker: WorkerView): Promise<void> {
	await tx`
		update enrollments set worker_id = ${worker.id}, host_id = ${worker.hostId}, outcome = 'REUSED'
		where tenant_id = ${claimant.tenantId} and worker_id = ${claimant.id} and state = 'held'`;
	await tx`update workers set hostname = ${claimant.hostname} where tenant_id = ${worker.tenantId} and id = ${worker.id}`;
}

/** The worker that holds a machine uid. */
export async function idOfMachine(tx: Tx, tenantId: string, uid: string): Promise<string | undefined> {
	const rows = await tx`select id from workers where tenant_id = ${tenantId} and machine_uid = ${uid}`;
	return parseFirst(v.object({ id: v.string() }), rows)?.id;
}

/** Locks a worker before its credentials are touched: the order that the enrollment batch has too. False when there is none. */
export async function lockWorker(tx: Tx, tenantId: string, id: string): Promise<boolean> {
	const rows = await tx`select id from workers where tenant_id = ${tenantId} and id = ${id} for no key update`;
	return rows.length === 1;
}

/** Deletes a worker with its credentials and heartbeat; false when there was none. Its host goes with it. */
export async function deleteWorkerRow(tx: Tx, tenantId: string, id: string): Promise<boolean> {
	const rows = await tx`delete from workers where tenant_id = ${tenantId} and id = ${id} returning id`;
	return rows.length === 1;
}

/** A beat as it is written. */
export interface BeatRow {
	readonly tenantId: string;
	readonly workerId: string;
	readonly at: number;
	readonly bootId: string | null;
	readonly sequence: number | null;
	readonly load1: number | null;
	readonly memoryUsedBytes: number | null;
	readonly uptimeSeconds: number | null;
}

/** In the order of the insert's columns. */
const beatRow = {
	tenantId: "text",
	workerId: "text",
	at: "time",
	bootId: "text",
	sequence: "bigint",
	load1: "float",
	memoryUsedBytes: "float",
	uptimeSeconds: "float",
} as const;

/**
 * Writes many heartbeats with one statement; an older beat never replaces a newer one, a beat of a deleted or revoked worker is dropped.
 * Returns the workers whose host is DEGRADED, or PENDING until they were first heard, so that the caller can move it along. Rows are taken in key order: flushes of two servers cannot deadlock.
 */
export async function writeHeartbeats(
	sql: Sql,
	beats: readonly BeatRow[],
): Promise<{ readonly tenantId: string; readonly workerId: string }[]> {
	if (beats.length === 0) return [];
	const rows = await sql`
		with beat as (
			select * from ${recordset(sql, beats, beatRow)} as r
		), known as (
			select beat.* from beat join workers w on w.tenant_id = beat."tenantId" and w.id = beat."workerId" and w.state = 'ACTIVE'
			order by beat."tenantId", beat."workerId"
		), written as (
			insert into heartbeats (tenant_id, worker_id, at, boot_id, sequence, load1, memory_used_bytes, uptime_seconds)
			select * from known
			on conflict (tenant_id, worker_id) do update
			-- A sign of life without figures takes none away.
			set at = excluded.at, boot_id = coalesce(excluded.boot_id, heartbeats.boot_id), sequence = coalesce(excluded.sequence, heartbeats.sequence),
				load1 = coalesce(excluded.load1, heartbeats.load1),
				memory_used_bytes = coalesce(excluded.memory_used_bytes, heartbeats.memory_used_bytes),
				uptime_seconds = coalesce(excluded.uptime_seconds, heartbeats.uptime_seconds)
			where heartbeats.at <= excluded.at
			returning tenant_id, worker_id
		)
		select h.tenant_id, h.worker_id from hosts h
		join written on written.tenant_id = h.tenant_id and written.worker_id = h.worker_id
		where h.state in ('DEGRADED', 'PENDING') limit ${beats.length}`;
	return parseRows(v.object({ tenantId: v.string(), workerId: v.string() }), rows);
}

/** In the order of the insert's columns. */
const workerRow = {
	tenantId: "text",
	id: "text",
	name: "text",
	hostname: "text",
	machineUid: "text",
	siteId: "text",
	fleetId: "text",
	keyId: "text",
	keyVersion: "int",
	method: "text",
	autoEnrolled: "boolean",
	state: "text",
	pendingReason: "text",
	contestedUid: "text",
	contestedWorkerId: "text",
	evidence: "jsonb",
	labels: "jsonb",
	version: "text",
	platform: "text",
	createdAt: "time",
	enrolledAt: "time",
} as const;

/**
 * Writes workers in their final form and returns how many of the added ones were inserted: fewer than given means that another
 * transaction inserted the same id or machine uid first. The caller holds the lock on those that exist.
 */
export async function saveWorkers(tx: Tx, added: readonly WorkerRecord[], changed: readonly WorkerRecord[]): Promise<number> {
	const inserting = added.length === 0 ? undefined : tx`${insertion(tx, added)} on conflict do nothing`;
	const updating =
		changed.length === 0
			? undefined
			: tx`
		update workers w set name = r.name, hostname = r.hostname, machine_uid = r."machineUid", site_id = r."siteId", fleet_id = r."fleetId", key_id = r."keyId",
			key_version = r."keyVersion", method = r.method, auto_enrolled = r."autoEnrolled", state = r.state, pending_reason = r."pendingReason",
			labels = r.labels, version = r.version, platform = r.platform, enrolled_at = r."enrolledAt"
		from ${recordset(tx, changed, workerRow)} as r
		where w.tenant_id = r."tenantId" and w.id = r.id`;
	const [inserted] = await Promise.all([inserting, updating]);
	return inserted?.count ?? 0;
}

/** Inserts workers that are not there; fails with a unique violation when one is (`isLostWrite`). Dearer rows: a conflict that is looked for is a second search of each index. */
export async function addWorkers(tx: Tx, added: readonly WorkerRecord[]): Promise<void> {
	if (added.length > 0) await insertion(tx, added);
}

function insertion(tx: Tx, added: readonly WorkerRecord[]) {
	return tx`
		insert into workers (tenant_id, id, name, hostname, machine_uid, site_id, fleet_id, key_id, key_version, method, auto_enrolled, state,
			pending_reason, contested_uid, contested_worker_id, evidence, labels, version, platform, created_at, enrolled_at)
		select * from ${recordset(tx, added, workerRow)} as r`;
}
