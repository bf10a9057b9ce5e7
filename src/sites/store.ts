import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { enrollmentPolicies, type FleetRecord, type SiteRecord, type TenantRecord } from "./site.ts";

const siteRow = v.object({
	id: v.string(),
	tenantId: v.string(),
	code: v.string(),
	name: v.string(),
	enrollmentPolicy: v.picklist(enrollmentPolicies),
	workerNamePattern: v.nullable(v.string()),
	createdAt: time,
});
const fleetRow = v.object({ id: v.string(), tenantId: v.string(), siteId: v.string(), name: v.string(), createdAt: time });

function columns(sql: Sql | Tx) {
	return sql`id, tenant_id, code, name, enrollment_policy, worker_name_pattern, created_at`;
}

/** Adds a site; false when the tenant has one of this code. */
export async function insertSite(tx: Tx, site: SiteRecord): Promise<boolean> {
	const rows = await tx`
		insert into sites (id, tenant_id, code, name, enrollment_policy, worker_name_pattern, created_at)
		values (${site.id}, ${site.tenantId}, ${site.code}, ${site.name}, ${site.enrollmentPolicy}, ${site.workerNamePattern}, ${new Date(site.createdAt)})
		on conflict (tenant_id, code) do nothing returning id`;
	return rows.length === 1;
}

/** Adds a fleet; false when the site has one of this name. */
export async function insertFleet(tx: Tx, fleet: FleetRecord): Promise<boolean> {
	const rows = await tx`
		insert into fleets (id, tenant_id, site_id, name, created_at)
		values (${fleet.id}, ${fleet.tenantId}, ${fleet.siteId}, ${fleet.name}, ${new Date(fleet.createdAt)})
		on conflict (site_id, name) do nothing returning id`;
	return rows.length === 1;
}

/** The tenant's site of this code. */
export async function siteByCode(sql: Sql | Tx, tenantId: string, code: string): Promise<SiteRecord | undefined> {
	return parseFirst(siteRow, await sql`select ${columns(sql)} from sites where tenant_id = ${tenantId} and code = ${code} limit 1`);
}

/** A site as one column, `s` in the statement that reads it. */
export const siteInJson = {
	columns: (sql: Sql) =>
		sql`jsonb_build_object('id', s.id, 'tenantId', s.tenant_id, 'code', s.code, 'name', s.name, 'enrollmentPolicy', s.enrollment_policy,
			'workerNamePattern', s.worker_name_pattern, 'createdAt', round(extract(epoch from s.created_at) * 1000))`,
	schema: v.object({ ...siteRow.entries, createdAt: v.number() }),
};

/** Sites by id, of any tenant: for callers that got the ids from rows of the right one. */
export async function sitesById(sql: Sql | Tx, ids: readonly string[]): Promise<SiteRecord[]> {
	if (ids.length === 0) return [];
	return parseRows(siteRow, await sql`select ${columns(sql)} from sites where id = any (${[...ids]}::text[]) limit ${ids.length}`);
}

/** One page of sites, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfSites(
	sql: Sql,
	tenantId: string,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<SiteRecord[]> {
	return parseRows(
		siteRow,
		await sql`
		select ${columns(sql)} from sites
		where tenant_id = ${tenantId}
			${page.after === undefined ? sql`` : sql`and id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and id > ${page.before}`}
		order by id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many sites the tenant has. */
export async function countSites(sql: Sql, tenantId: string): Promise<number> {
	const rows = await sql`select count(*) as total from sites where tenant_id = ${tenantId}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Most fleets of a site that are listed. */
const fleetsMax = 1_000;

/** Fleets of sites, by name, of one tenant. */
export async function fleetsOfSites(sql: Sql, tenantId: string, siteIds: readonly string[]): Promise<FleetRecord[]> {
	return parseRows(
		fleetRow,
		await sql`
		select id, tenant_id, site_id, name, created_at from fleets
		where tenant_id = ${tenantId} and site_id = any (${[...siteIds]}::text[]) order by name limit ${fleetsMax}`,
	);
}

/** Fleets by id, of one tenant. */
export async function fleetsById(sql: Sql | Tx, tenantId: string, ids: readonly string[]): Promise<FleetRecord[]> {
	return parseRows(
		fleetRow,
		await sql`
		select id, tenant_id, site_id, name, created_at from fleets where tenant_id = ${tenantId} and id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** A tenant by id. */
export async function tenantById(sql: Sql | Tx, id: string): Promise<TenantRecord | undefined> {
	const schema = v.object({ id: v.string(), slug: v.string(), workerNamePattern: v.nullable(v.string()) });
	return parseFirst(schema, await sql`select id, slug, worker_name_pattern from tenants where id = ${id}`);
}

/** The names that a tenant expects of its workers (A14); null when it has no pattern. */
export async function tenantNamePattern(sql: Sql | Tx, tenantId: string): Promise<string | null> {
	const rows = await sql`select worker_name_pattern as pattern from tenants where id = ${tenantId}`;
	return parseFirst(v.object({ pattern: v.nullable(v.string()) }), rows)?.pattern ?? null;
}

/** Sets the names that a tenant expects; null expects none. */
export async function setTenantNamePattern(tx: Tx, tenantId: string, pattern: string | null): Promise<void> {
	await tx`update tenants set worker_name_pattern = ${pattern} where id = ${tenantId}`;
}
