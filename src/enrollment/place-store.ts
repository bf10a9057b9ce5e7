import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseFirst, parseRows } from "../db/rows.ts";
import type { ClaimedPlace } from "./place.ts";

/** Where an unproven claim belongs, for its record; nulls when nowhere. */
export interface NamedPlace {
	readonly tenantId: string | null;
	readonly siteId: string | null;
	readonly hostId: string | null;
	readonly keyId: string | null;
}

const nowhere: NamedPlace = { tenantId: null, siteId: null, hostId: null, keyId: null };

/**
 * What a claim names, if it exists. A claim that names nothing belongs to the only tenant there is; of several to none, so that no tenant
 * sees another's mistyped keys (S10).
 */
export async function namedPlace(sql: Sql, place: ClaimedPlace): Promise<NamedPlace> {
	const schema = v.object({
		tenantId: v.string(),
		siteId: v.nullable(v.string()),
		hostId: v.nullable(v.string()),
		keyId: v.nullable(v.string()),
	});
	if (place.kind === "named") {
		const rows = await sql`
			select t.id as tenant_id, s.id as site_id, null as host_id, null as key_id from tenants t
			left join sites s on s.tenant_id = t.id and s.code = ${place.siteCode}
			where t.slug = ${place.tenant} limit 1`;
		return parseFirst(schema, rows) ?? nowhere;
	}
	if (place.kind === "selector") {
		const rows = await sql`select tenant_id, site_id, host_id, id as key_id from keys where selector = ${place.selector} limit 1`;
		const found = parseFirst(schema, rows);
		if (found !== undefined) return found;
	}
	const tenants = parseRows(v.object({ id: v.string() }), await sql`select id from tenants limit 2`);
	return { ...nowhere, tenantId: tenants.length === 1 ? (tenants[0]?.id ?? null) : null };
}
