import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { labelMap, parseRows, time } from "../db/rows.ts";
import type { ContainerRecord, EngineRecord } from "./inventory.ts";

const engine = v.object({
	tenantId: v.string(),
	hostId: v.string(),
	engineId: v.nullable(v.string()),
	version: v.nullable(v.string()),
	apiVersion: v.nullable(v.string()),
	reason: v.nullable(v.string()),
	reportedAt: time,
});
const container = v.object({
	hostId: v.string(),
	id: v.string(),
	name: v.string(),
	image: v.string(),
	state: v.string(),
	status: v.string(),
	createdAt: time,
	labels: labelMap,
	ports: v.array(v.string()),
});

/** Writes what a host's engine is. The caller holds the host's lock, so that reports of one host follow each other. */
export async function saveEngine(
	tx: Tx,
	{ tenantId, hostId, engineId, version, apiVersion, reason, reportedAt }: EngineRecord,
): Promise<void> {
	await tx`
		insert into engines (tenant_id, host_id, engine_id, version, api_version, reason, reported_at)
		values (${tenantId}, ${hostId}, ${engineId}, ${version}, ${apiVersion}, ${reason}, ${new Date(reportedAt)})
		on conflict (host_id) do update set engine_id = excluded.engine_id, version = excluded.version, api_version = excluded.api_version,
			reason = excluded.reason, reported_at = excluded.reported_at where engines.tenant_id = excluded.tenant_id`;
}

/** Makes a host's containers those that were reported: others go, with their figures; those that are as they were are not written. */
export async function saveContainers(tx: Tx, tenantId: string, hostId: string, containers: readonly ContainerRecord[]): Promise<void> {
	const ids = containers.map(({ id }) => id);
	await tx`delete from containers where tenant_id = ${tenantId} and host_id = ${hostId} and id <> all (${ids}::text[])`;
	if (containers.length === 0) return;
	await tx`
		insert into containers as c (tenant_id, host_id, id, name, image, state, status, created_at, labels, ports)
		select ${tenantId}, ${hostId}, id, name, image, state, status, to_timestamp("createdAt" / 1000.0), labels,
			array(select jsonb_array_elements_text(ports))
		from jsonb_to_recordset(${tx.json(containers as never)}) as r (id text, name text, image text, state text, status text,
			"createdAt" double precision, labels jsonb, ports jsonb)
		on conflict (tenant_id, host_id, id) do update set name = excluded.name, image = excluded.image, state = excluded.state,
			status = excluded.status, created_at = excluded.created_at, labels = excluded.labels, ports = excluded.ports
		where (c.name, c.image, c.state, c.status, c.labels, c.ports)
			is distinct from (excluded.name, excluded.image, excluded.state, excluded.status, excluded.labels, excluded.ports)`;
}

/** The engines of these hosts, of one tenant. */
export async function enginesOf(sql: Sql | Tx, tenantId: string, hostIds: readonly string[]): Promise<EngineRecord[]> {
	const rows = await sql`
		select tenant_id, host_id, engine_id, version, api_version, reason, reported_at from engines
		where tenant_id = ${tenantId} and host_id = any (${[...hostIds]}::text[]) limit ${hostIds.length}`;
	return parseRows(engine, rows);
}

/** The containers of these hosts, of one tenant, by name; at most `limit` of each. */
export async function containersOf(sql: Sql, tenantId: string, hostIds: readonly string[], limit: number): Promise<ContainerRecord[]> {
	const rows = await sql`
		select c.* from unnest(${[...hostIds]}::text[]) as wanted (id)
		cross join lateral (
			select host_id, id, name, image, state, status, created_at, labels, ports from containers
			where tenant_id = ${tenantId} and host_id = wanted.id order by name, id limit ${limit}) as c
		order by c.host_id, c.name, c.id limit ${hostIds.length * limit}`;
	return parseRows(container, rows);
}
