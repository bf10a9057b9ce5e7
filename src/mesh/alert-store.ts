import * as v from "valibot";
import type { Tx } from "../db/port.ts";
import { parseRows } from "../db/rows.ts";

const row = v.object({
	tenantId: v.string(),
	alertId: v.nullable(v.string()),
	kind: v.nullable(v.picklist(["MESH_DOWN", "MESH_RECOVERED"])),
});

/** Tenants told at once; one installation has a few. */
const tenantsMax = 10_000;

/** The last alert about the mesh that each tenant has; nulls for a tenant that never had one. */
export async function lastMeshAlerts(tx: Tx): Promise<v.InferOutput<typeof row>[]> {
	return parseRows(
		row,
		await tx`
		select t.id as tenant_id, a.id as alert_id, a.kind from tenants t left join lateral (
			select id, kind from alerts where tenant_id = t.id and kind in ('MESH_DOWN', 'MESH_RECOVERED') order by id desc limit 1) a on true
		order by t.id limit ${tenantsMax}`,
	);
}
