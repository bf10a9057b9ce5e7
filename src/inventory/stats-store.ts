import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseRows, time } from "../db/rows.ts";
import { slotMs, slotOf, slots } from "../workers/vitals.ts";
import type { ContainerStats } from "./inventory.ts";

const row = v.object({
	hostId: v.string(),
	containerId: v.string(),
	at: time,
	cpuCores: v.number(),
	memoryBytes: v.number(),
	memoryLimitBytes: v.nullable(v.number()),
	networkReceivedBytes: v.number(),
	networkSentBytes: v.number(),
});

/**
 * Puts figures into their minutes' places: of one minute the first that was written stays. Those of a container that is not in the host's inventory
 * are dropped. Rows are taken in key order: writes of two servers cannot deadlock.
 */
export async function writeStats(sql: Sql, tenantId: string, points: readonly ContainerStats[]): Promise<void> {
	if (points.length === 0) return;
	const placed = points.map((point) => ({ ...point, slot: slotOf(point.at) }));
	await sql`
		insert into container_stats as s (tenant_id, host_id, container_id, slot, at, cpu_cores, memory_bytes, memory_limit_bytes,
			network_received_bytes, network_sent_bytes)
		select ${tenantId}, c.host_id, c.id, r.slot, to_timestamp(r.at / 1000.0), r."cpuCores", r."memoryBytes", r."memoryLimitBytes",
			r."networkReceivedBytes", r."networkSentBytes"
		from jsonb_to_recordset(${sql.json(placed as never)}) as r ("hostId" text, "containerId" text, slot smallint, at double precision,
			"cpuCores" double precision, "memoryBytes" double precision, "memoryLimitBytes" double precision,
			"networkReceivedBytes" double precision, "networkSentBytes" double precision)
		join containers c on c.tenant_id = ${tenantId} and c.host_id = r."hostId" and c.id = r."containerId"
		order by c.host_id, c.id for key share of c
		on conflict (tenant_id, host_id, container_id, slot) do update
		set at = excluded.at, cpu_cores = excluded.cpu_cores, memory_bytes = excluded.memory_bytes,
			memory_limit_bytes = excluded.memory_limit_bytes, network_received_bytes = excluded.network_received_bytes,
			network_sent_bytes = excluded.network_sent_bytes
		where s.at <= excluded.at - ${slotMs / 1_000} * interval '1 second'`;
}

/** The points of the last hour of these containers, oldest first. */
export async function statsOf(
	sql: Sql,
	tenantId: string,
	containers: readonly { readonly hostId: string; readonly id: string }[],
	now: number,
): Promise<ContainerStats[]> {
	const wanted = containers.map(({ hostId, id }) => ({ hostId, id }));
	const rows = await sql`
		select s.host_id, s.container_id, s.at, s.cpu_cores, s.memory_bytes, s.memory_limit_bytes, s.network_received_bytes, s.network_sent_bytes
		from jsonb_to_recordset(${sql.json(wanted as never)}) as r ("hostId" text, id text)
		join container_stats s on s.tenant_id = ${tenantId} and s.host_id = r."hostId" and s.container_id = r.id
			and s.at > ${new Date(now - slots * slotMs)}
		order by s.host_id, s.container_id, s.at limit ${containers.length * slots}`;
	return parseRows(row, rows);
}
