import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { parseRows } from "../db/rows.ts";
import { isExclusive } from "../keys/key.ts";
import { keyColumns, keyRow } from "../keys/store.ts";
import { siteInJson } from "../sites/store.ts";
import { type Loaded, nothing } from "./loaded.ts";
import type { ProvenRequest } from "./request.ts";

const row = v.object({
	...keyRow.entries,
	site: v.nullable(siteInJson.schema),
	pattern: v.nullable(v.string()),
	anyKnown: v.boolean(),
});

/** What a batch was loaded with at a glance: `unknown` machines need no lock, since there is no row yet that anybody else could change. */
export type Glance =
	| { readonly kind: "unknown"; readonly loaded: Loaded }
	/** One of them is known, or a key is exclusive: the verdicts need locks. */
	| { readonly kind: "known" }
	| { readonly kind: "exclusive"; readonly keyIds: readonly string[] };

/** Whether a glance can be enough: nothing that such a request brings is consumed by it, but for a use of the key. */
export function isPlainRequest({ proof, mesh, method }: ProvenRequest): boolean {
	return proof === null && mesh.kind === "none" && (method === "SITE_KEY" || method === "ENROLLMENT_KEY");
}

/**
 * Reads with one statement, without a lock, all that the verdicts on plain requests depend on, as long as none of these machines, ids and enrollments is
 * known. What becomes known meanwhile is noticed when the batch is saved, as a unique violation; a key that changes, when its use is counted.
 */
export async function glance(sql: Sql, requests: readonly ProvenRequest[]): Promise<Glance> {
	const keyIds = [...new Set(requests.map(({ keyId }) => keyId))];
	const claims = requests.map(({ tenantId, enrollmentId, claim }) => [tenantId, enrollmentId, claim.machineUid, claim.requestedId]);
	// `offset 0` keeps each look-up one of an index for each row: as a join it would read the table. Lists go as JSON: of an array the planner would count
	// the elements, and plan each batch anew.
	const rows = parseRows(
		row,
		await sql`
		select k.*, (
			select coalesce(bool_or(
				exists (select from enrollments e where e.tenant_id = c ->> 0 and e.enrollment_id = c ->> 1 offset 0)
				or exists (select from workers w where w.tenant_id = c ->> 0 and w.machine_uid = c ->> 2 offset 0)
				or exists (select from workers w where w.tenant_id = c ->> 0 and w.contested_uid = c ->> 2 offset 0)
				or (c ->> 3 is not null and exists (select from workers w where w.tenant_id = c ->> 0 and w.id = c ->> 3 offset 0))
			), false) from jsonb_array_elements(${sql.json(claims)}) as r (c)) as any_known
		from jsonb_array_elements_text(${sql.json(keyIds)}) as wanted (key_id)
		cross join lateral (
			select ${keyColumns(sql)}, (select ${siteInJson.columns(sql)} from sites s where s.id = keys.site_id) as site,
				(select t.worker_name_pattern from tenants t where t.id = keys.tenant_id) as pattern
			from keys where id = key_id offset 0
		) as k`,
	);
	const exclusive = rows.filter(isExclusive).map(({ id }) => id);
	if (exclusive.length > 0) return { kind: "exclusive", keyIds: exclusive };
	if (rows.some(({ anyKnown }) => anyKnown)) return { kind: "known" };
	return {
		kind: "unknown",
		loaded: {
			...nothing,
			keys: rows,
			sites: rows.flatMap(({ site }) => site ?? []),
			tenantPatterns: rows.flatMap(({ tenantId, pattern }) => (pattern === null ? [] : { tenantId, pattern })),
		},
	};
}
