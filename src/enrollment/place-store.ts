import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseRows } from "../db/rows.ts";
import type { ClaimedPlace } from "./place.ts";

/** Where an unproven claim belongs, for its record; nulls when nowhere. */
export interface NamedPlace {
	readonly tenantId: string | null;
	readonly siteId: string | null;
	readonly hostId: string | null;
	readonly keyId: string | null;
}

const nowhere: NamedPlace = { tenantId: null, siteId: null, hostId: null, keyId: null };

const row = v.object({
	namedTenant: v.nullable(v.string()),
	namedSite: v.nullable(v.string()),
	tenantId: v.nullable(v.string()),
	siteId: v.nullable(v.string()),
	hostId: v.nullable(v.string()),
	keyId: v.nullable(v.string()),
	onlyTenant: v.nullable(v.string()),
});

/**
 * What claims name, if it exists, in their order; one statement, since guesses come by the hundred. A claim that names nothing belongs to the only
 * tenant there is; of several to none, so that no tenant sees another's mistyped keys (S10).
 */
export async function namedPlaces(sql: Sql, places: readonly ClaimedPlace[]): Promise<NamedPlace[]> {
	const slugs = places.map((place) => (place.kind === "named" ? place.tenant : null));
	const codes = places.map((place) => (place.kind === "named" ? place.siteCode : null));
	const selectors = places.map((place) => (place.kind === "selector" ? place.selector : null));
	const rows = await sql`
		select t.id as named_tenant, s.id as named_site, k.tenant_id, k.site_id, k.host_id, k.id as key_id,
			(select case when count(*) = 1 then min(id) end from (select id from tenants limit 2) as few) as only_tenant
		from unnest(${slugs}::text[], ${codes}::text[], ${selectors}::text[]) with ordinality as p (slug, code, selector, place)
		left join tenants t on t.slug = p.slug
		left join sites s on s.tenant_id = t.id and s.code = p.code
		left join keys k on k.selector = p.selector
		order by p.place limit ${places.length}`;
	return parseRows(row, rows).map(({ namedTenant, namedSite, onlyTenant, ...key }, at) => {
		if (places[at]?.kind === "named") return { ...nowhere, tenantId: namedTenant, siteId: namedSite };
		return key.keyId === null ? { ...nowhere, tenantId: onlyTenant } : key;
	});
}
