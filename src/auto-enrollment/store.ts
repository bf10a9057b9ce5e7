import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { parseFirst, parseRows, time } from "../db/rows.ts";

/** Who says how auto-enrollment is set: an admin through the API, or the server's environment (A18). */
export const configSources = ["API", "ENVIRONMENT"] as const;
export type ConfigSource = (typeof configSources)[number];

/** A tenant's auto-enrollment as it stands. Times are milliseconds since the epoch. */
export interface AutoEnrollmentRecord {
	readonly tenantId: string;
	readonly enabled: boolean;
	readonly enabledAt: number | null;
	readonly configuredBy: ConfigSource;
	/** The shared API key, and its text sealed under the master key; null until the first enrollment mints one. */
	readonly credentialId: string | null;
	readonly apiKeySealed: string | null;
	readonly updatedAt: number;
}

const row = v.object({
	tenantId: v.string(),
	enabled: v.boolean(),
	enabledAt: v.nullable(time),
	configuredBy: v.picklist(configSources),
	credentialId: v.nullable(v.string()),
	apiKeySealed: v.nullable(v.string()),
	updatedAt: time,
});

function columns(sql: Sql | Tx) {
	return sql`tenant_id, enabled, enabled_at, configured_by, credential_id, api_key_sealed, updated_at`;
}

/** A tenant's configuration; undefined when it was never set. */
export async function autoEnrollmentOf(sql: Sql | Tx, tenantId: string): Promise<AutoEnrollmentRecord | undefined> {
	return parseFirst(row, await sql`select ${columns(sql)} from auto_enrollment where tenant_id = ${tenantId}`);
}

/** The same, locked: changes of one tenant's configuration follow each other. */
export async function lockAutoEnrollment(tx: Tx, tenantId: string): Promise<AutoEnrollmentRecord | undefined> {
	return parseFirst(row, await tx`select ${columns(tx)} from auto_enrollment where tenant_id = ${tenantId} for update`);
}

/** Makes the row when there is none, switched off, so that there is something to lock. */
export async function ensureAutoEnrollment(tx: Tx, tenantId: string, at: number): Promise<void> {
	await tx`
		insert into auto_enrollment (tenant_id, enabled, configured_by, updated_at) values (${tenantId}, false, 'API', ${new Date(at)})
		on conflict (tenant_id) do nothing`;
}

/** Writes the configuration in its final form. The caller holds its lock. */
export async function saveAutoEnrollment(tx: Tx, record: AutoEnrollmentRecord): Promise<void> {
	await tx`
		update auto_enrollment set enabled = ${record.enabled}, enabled_at = ${record.enabledAt === null ? null : new Date(record.enabledAt)},
			configured_by = ${record.configuredBy}, credential_id = ${record.credentialId}, api_key_sealed = ${record.apiKeySealed},
			updated_at = ${new Date(record.updatedAt)}
		where tenant_id = ${record.tenantId}`;
}

/** Forgets the shared API key when it is this one: the next enrollment mints another. */
export async function forgetSharedKey(tx: Tx, tenantId: string, credentialId: string, at: number): Promise<void> {
	await tx`
		update auto_enrollment set credential_id = null, api_key_sealed = null, updated_at = ${new Date(at)}
		where tenant_id = ${tenantId} and credential_id = ${credentialId}`;
}

/** What a proof is checked against. */
export interface AutoSecrets {
	readonly tenantId: string;
	readonly enabled: boolean;
	/** Live secrets: the active one, and former ones within their grace. Sealed. */
	readonly secrets: readonly { readonly keyId: string; readonly sealed: string }[];
}

/** The secrets of a tenant, by its slug or id, that a proof may be made with now; undefined when the tenant never set any. */
export async function autoSecrets(
	sql: Sql,
	tenant: { readonly slug: string } | { readonly id: string },
	now: number,
): Promise<AutoSecrets | undefined> {
	const rows = await sql`
		select a.tenant_id, a.enabled, k.id as key_id, k.verifier as sealed from tenants t
		join auto_enrollment a on a.tenant_id = t.id
		join keys k on k.tenant_id = t.id and k.kind = 'auto' and (k.active or k.grace_ends_at > ${new Date(now)})
		where ${"slug" in tenant ? sql`t.slug = ${tenant.slug}` : sql`t.id = ${tenant.id}`} order by k.active desc, k.version desc limit 10`;
	const found = parseRows(v.object({ tenantId: v.string(), enabled: v.boolean(), keyId: v.string(), sealed: v.string() }), rows);
	const [first] = found;
	return first === undefined ? undefined : { tenantId: first.tenantId, enabled: first.enabled, secrets: found };
}

/** A secret as it stands. */
export interface AutoSecret {
	readonly id: string;
	readonly version: number;
	readonly hint: string;
	readonly sealed: string;
	readonly createdAt: number;
}

/** The active secret of a tenant, locked when in a transaction: whoever enrolls by it waits or is seen. */
export async function activeSecret(sql: Sql | Tx, tenantId: string, lock: boolean): Promise<AutoSecret | undefined> {
	const rows = await sql`
		select id, version, hint, verifier as sealed, created_at from keys where tenant_id = ${tenantId} and kind = 'auto' and active
		limit 1 ${lock ? sql`for update` : sql``}`;
	const schema = v.object({ id: v.string(), version: v.number(), hint: v.string(), sealed: v.string(), createdAt: time });
	return parseFirst(schema, rows);
}

/** Locks every secret that a proof may be made with now: who enrolls by one waits for the change, or the change for it. */
export async function lockSecrets(tx: Tx, tenantId: string, now: number): Promise<void> {
	await tx`
		select id from keys where tenant_id = ${tenantId} and kind = 'auto' and (active or grace_ends_at > ${new Date(now)})
		order by id limit 1000 for update`;
}

/** Takes the active secret out of service, and ends former graces that would outlast this one. The caller holds the configuration's lock. */
export async function retireSecrets(tx: Tx, tenantId: string, graceEndsAt: number | null): Promise<void> {
	const ends = graceEndsAt === null ? null : new Date(graceEndsAt);
	await tx`
		update keys set active = false, grace_ends_at = ${ends}
		where tenant_id = ${tenantId} and kind = 'auto' and (active or grace_ends_at > ${new Date(graceEndsAt ?? 0)})`;
}

/** Every sealed text; locked for sealing it anew under another master key, in the order that changes of the configuration lock too. */
export async function sealedAutoTexts(
	tx: Tx,
	lock: boolean,
): Promise<readonly { readonly place: "secret" | "api-key"; readonly id: string; readonly tenantId: string; readonly sealed: string }[]> {
	const locked = lock ? tx`for update` : tx``;
	const keys = await tx`
		select 'api-key' as place, tenant_id as id, tenant_id, api_key_sealed as sealed from auto_enrollment
		where api_key_sealed is not null order by tenant_id ${locked}`;
	const secrets = await tx`select 'secret' as place, id, tenant_id, verifier as sealed from keys where kind = 'auto' order by id ${locked}`;
	const schema = v.object({ place: v.picklist(["secret", "api-key"]), id: v.string(), tenantId: v.string(), sealed: v.string() });
	return parseRows(schema, [...secrets, ...keys]);
}

/** Puts a text that was sealed anew in its place. */
export async function replaceSealed(tx: Tx, place: "secret" | "api-key", id: string, sealed: string): Promise<void> {
	if (place === "secret") await tx`update keys set verifier = ${sealed} where id = ${id}`;
	else await tx`update auto_enrollment set api_key_sealed = ${sealed} where tenant_id = ${id}`;
}

/** A tenant whose auto-enrollment has been on since `enabledAt`, with the topic of the alert about it. */
export interface LeftOn {
	readonly tenantId: string;
	readonly enabledAt: number;
	readonly topic: string;
}

/** Tenants whose auto-enrollment has been on since before `cutoff`, those with an alert about it left out. */
export async function leftOn(tx: Tx, cutoff: number, limit: number): Promise<LeftOn[]> {
	const rows = await tx`
		with long as (
			select tenant_id, enabled_at, 'auto-enrollment on since ' || extract(epoch from enabled_at)::text as topic
			from auto_enrollment where enabled and enabled_at < ${new Date(cutoff)}
		)
		select tenant_id, enabled_at, topic from long l
		where not exists (select from alerts a where a.tenant_id = l.tenant_id and a.topic = l.topic) limit ${limit}`;
	return parseRows(v.object({ tenantId: v.string(), enabledAt: time, topic: v.string() }), rows);
}
