import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseRows, time } from "../db/rows.ts";

/** What a worker said of its place on the mesh, as it is written. */
export interface MeshReportRow {
	readonly tenantId: string;
	readonly workerId: string;
	readonly at: number;
	readonly state: string;
	readonly addresses: readonly string[];
	readonly nodeName: string | null;
}

/**
 * Writes what workers say of the mesh, and the first address beside their hosts. An older report never replaces a newer one; those of deleted
 * or revoked workers are dropped. Rows are taken in key order: writes of two servers cannot deadlock.
 */
export async function writeReports(sql: Sql, reports: readonly MeshReportRow[]): Promise<void> {
	if (reports.length === 0) return;
	await sql`
		with said as (
			select r.*, array(select jsonb_array_elements_text(r.list)) as addresses
			from jsonb_to_recordset(${sql.json(reports.map(({ addresses, ...rest }) => ({ ...rest, list: addresses })) as never)})
				as r ("tenantId" text, "workerId" text, at double precision, state text, list jsonb, "nodeName" text)
			join workers w on w.tenant_id = r."tenantId" and w.id = r."workerId" and w.state = 'ACTIVE'
			order by r."tenantId", r."workerId"
		), written as (
			insert into mesh_reports (tenant_id, worker_id, at, state, addresses, node_name)
			select "tenantId", "workerId", to_timestamp(at / 1000.0), state, addresses, "nodeName" from said
			on conflict (tenant_id, worker_id) do update
			set at = excluded.at, state = excluded.state, addresses = excluded.addresses, node_name = excluded.node_name
			where mesh_reports.at <= excluded.at
			returning tenant_id, worker_id, addresses
		), hosting as (
			select h.id, written.addresses[1] as address from written
			join hosts h on h.tenant_id = written.tenant_id and h.worker_id = written.worker_id and h.mesh_address is distinct from written.addresses[1]
			order by h.id for no key update of h
		)
		update hosts h set mesh_address = hosting.address from hosting where h.id = hosting.id`;
}

const row = v.object({
	hostId: v.string(),
	hostName: v.string(),
	at: time,
	state: v.string(),
	addresses: v.array(v.string()),
	nodeName: v.nullable(v.string()),
});
/** What a host's worker says of the mesh. */
export type HostReport = v.InferOutput<typeof row>;

/** Reports of a tenant's hosts read at once: more hosts than a tenant is built for. */
const reportsMax = 50_000;

/** What the workers of a tenant's hosts say. */
export async function reportsOf(sql: Sql, tenantId: string): Promise<HostReport[]> {
	const rows = await sql`
		select h.id as host_id, h.name as host_name, r.at, r.state, r.addresses, r.node_name from mesh_reports r
		join hosts h on h.tenant_id = r.tenant_id and h.worker_id = r.worker_id
		where r.tenant_id = ${tenantId} order by h.id limit ${reportsMax}`;
	return parseRows(row, rows);
}

/** Whether a tenant is the only one: what belongs to none that we know of is then its own. */
export async function isOnlyTenant(sql: Sql, tenantId: string): Promise<boolean> {
	const rows = await sql`select id from tenants where id <> ${tenantId} limit 1`;
	return rows.length === 0;
}
