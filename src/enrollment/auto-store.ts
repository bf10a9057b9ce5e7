import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { parseRows } from "../db/rows.ts";
import type { NonceRow } from "./changes.ts";
import type { Loaded } from "./loaded.ts";
import type { ProvenRequest } from "./request.ts";

const noAuto = { auto: [], seenNonces: [], liveShared: [] } as const;

/**
 * What the auto-enrollments of a batch depend on. Read after the lock on the tenant's secret (a row of keys), which whoever changes the
 * configuration takes too; shared API keys are locked against revocation until the batch is written.
 */
export async function loadAuto(
	tx: Tx,
	requests: readonly ProvenRequest[],
): Promise<Pick<Loaded, "auto" | "tenantPatterns" | "seenNonces" | "liveShared">> {
	const tenantIds = [...new Set(requests.map(({ tenantId }) => tenantId))];
	const patterns = tx`
		select id as tenant_id, worker_name_pattern as pattern from tenants
		where id = any (${tenantIds}::text[]) and worker_name_pattern is not null limit ${tenantIds.length}`;
	const tenantPatterns = parseRows(v.object({ tenantId: v.string(), pattern: v.string() }), await patterns);
	const proofs = requests.flatMap(({ tenantId, proof }) => (proof === null ? [] : [{ tenantId, nonce: proof.nonce }]));
	if (proofs.length === 0) return { ...noAuto, tenantPatterns };
	const shared = [...new Set(requests.flatMap(({ fresh }) => (fresh.shared ? [fresh.credentialId] : [])))].sort();
	const [auto, seen, live] = await Promise.all([
		tx`select tenant_id, enabled from auto_enrollment where tenant_id = any (${tenantIds}::text[]) limit ${tenantIds.length}`,
		tx`
			select n.tenant_id, n.nonce from jsonb_to_recordset(${tx.json(proofs)}) as r ("tenantId" text, nonce text)
			join nonces n on n.tenant_id = r."tenantId" and n.nonce = r.nonce
			limit ${proofs.length}`,
		tx`select id from credentials where id = any (${shared}::text[]) and revoked_at is null order by id limit ${shared.length} for share`,
	]);
	return {
		tenantPatterns,
		auto: parseRows(v.object({ tenantId: v.string(), enabled: v.boolean() }), auto),
		seenNonces: parseRows(v.object({ tenantId: v.string(), nonce: v.string() }), seen),
		liveShared: parseRows(v.object({ id: v.string() }), live).map(({ id }) => id),
	};
}

/** Remembers nonces. Fewer rows than given: another server saw one of them first. */
export async function saveNonces(tx: Tx, nonces: readonly NonceRow[]): Promise<number> {
	if (nonces.length === 0) return 0;
	const written = await tx`
		insert into nonces (tenant_id, nonce, expires_at)
		select * from ${recordset(tx, nonces, { tenantId: "text", nonce: "text", expiresAt: "time" })} as r
		order by "tenantId", nonce
		on conflict (tenant_id, nonce) do nothing`;
	return written.count;
}

/** Deletes a bounded number of nonces whose time is over. Returns how many went. */
export async function pruneNonces(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select tenant_id, nonce from nonces where expires_at < now() - interval '1 minute' order by expires_at limit ${limit} for update skip locked)
		delete from nonces n using old where n.tenant_id = old.tenant_id and n.nonce = old.nonce`;
	return gone.count;
}
