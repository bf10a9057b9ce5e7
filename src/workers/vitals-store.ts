import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseRows, time } from "../db/rows.ts";
import type { BeatRow } from "./store.ts";
import { slotMs, slotOf, slots, type Vitals } from "./vitals.ts";

const number = v.nullable(v.number());
const row = v.object({
	workerId: v.string(),
	at: time,
	bootId: v.nullable(v.string()),
	load1: number,
	memoryUsedBytes: number,
	uptimeSeconds: number,
});

/** A point of a worker's ring. */
export type WorkerVitals = Vitals & { readonly workerId: string };

/**
 * Puts heartbeats into their minutes' places. Of one minute the first that was written stays, whichever server had it; a beat of a deleted or
 * revoked worker is dropped. Rows are taken in key order: writes of two servers cannot deadlock.
 */
export async function writeVitals(sql: Sql, beats: readonly BeatRow[]): Promise<void> {
	if (beats.length === 0) return;
	const points = beats.map((beat) => ({ ...beat, slot: slotOf(beat.at) }));
	await sql`
		insert into vitals (tenant_id, worker_id, slot, at, boot_id, load1, memory_used_bytes, uptime_seconds)
		select r."tenantId", r."workerId", r.slot, to_timestamp(r.at / 1000.0), r."bootId", r.load1, r."memoryUsedBytes", r."uptimeSeconds"
		from jsonb_to_recordset(${sql.json(points as never)}) as r ("tenantId" text, "workerId" text, slot smallint, at double precision, "bootId" text,
			load1 double precision, "memoryUsedBytes" double precision, "uptimeSeconds" double precision)
		join workers w on w.tenant_id = r."tenantId" and w.id = r."workerId" and w.state = 'ACTIVE'
		order by r."tenantId", r."workerId", r.slot
		on conflict (tenant_id, worker_id, slot) do update
		set at = excluded.at, boot_id = excluded.boot_id, load1 = excluded.load1, memory_used_bytes = excluded.memory_used_bytes,
			uptime_seconds = excluded.uptime_seconds
		where vitals.at <= excluded.at - ${slotMs / 1_000} * interval '1 second'`;
}

/** A worker's version, as it says itself. */
export interface NotedVersion {
	readonly tenantId: string;
	readonly workerId: string;
	readonly version: string;
}

/** Notes the versions that workers say; those that are known are left alone. Locks in key order: writes of two servers cannot deadlock. */
export async function noteVersions(sql: Sql, versions: readonly NotedVersion[]): Promise<void> {
	if (versions.length === 0) return;
	await sql`
		with said as (
			select w.tenant_id, w.id, r.version
			from jsonb_to_recordset(${sql.json(versions as never)}) as r ("tenantId" text, "workerId" text, version text)
			join workers w on w.tenant_id = r."tenantId" and w.id = r."workerId" and w.version is distinct from r.version
			order by w.tenant_id, w.id for no key update of w
		)
		update workers w set version = said.version from said where w.tenant_id = said.tenant_id and w.id = said.id`;
}

/** The points of the last hour of these workers, oldest first. */
export async function vitalsOf(sql: Sql, tenantId: string, workerIds: readonly string[], now: number): Promise<WorkerVitals[]> {
	const rows = await sql`
		select worker_id, at, boot_id, load1, memory_used_bytes, uptime_seconds from vitals
		where tenant_id = ${tenantId} and worker_id = any (${[...workerIds]}::text[]) and at > ${new Date(now - slots * slotMs)}
		order by worker_id, at limit ${workerIds.length * slots}`;
	return parseRows(row, rows);
}

/** The last heartbeat of these workers, in no order. */
export async function lastVitalsOf(sql: Sql, tenantId: string, workerIds: readonly string[]): Promise<WorkerVitals[]> {
	const rows = await sql`
		select worker_id, at, boot_id, load1, memory_used_bytes, uptime_seconds from heartbeats
		where tenant_id = ${tenantId} and worker_id = any (${[...workerIds]}::text[]) limit ${workerIds.length}`;
	return parseRows(row, rows);
}
