import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseRows, time } from "../db/rows.ts";
import type { KeyName, MintedKey } from "./port.ts";

/** Writes down that a key is going to be asked for. Throws a unique violation when another has the very same expiration. */
export async function insertIntent(
	sql: Sql,
	key: {
		readonly id: string;
		readonly tenantId: string;
		readonly hostId: string;
		readonly enrollmentId: string;
		readonly expiration: string;
		/** After this nobody is coming any more for a key that was given to no one. */
		readonly orphanSeconds: number;
	},
): Promise<void> {
	await sql`
		insert into mesh_keys (id, tenant_id, host_id, enrollment_id, expiration, state, created_at, attempts, next_attempt_at)
		values (${key.id}, ${key.tenantId}, ${key.hostId}, ${key.enrollmentId}, ${key.expiration}, 'minting', now(), 0,
			now() + ${key.orphanSeconds} * interval '1 second')`;
}

/** Notes what the mesh calls a key, and when it made it; false when housekeeping has given it up meanwhile. The row count is the answer. */
export async function noteMinted(
	sql: Sql,
	id: string,
	{ remoteId, createdAt }: Pick<MintedKey, "remoteId" | "createdAt">,
): Promise<boolean> {
	const rows = await sql`
		update mesh_keys set remote_id = ${remoteId}, remote_created_at = ${createdAt === null ? null : new Date(createdAt)},
			state = case when state = 'minting' then 'minted' else state end
		where id = ${id} returning state`;
	return rows[0]?.["state"] === "minted";
}

/** Forgets a key that was never made. */
export async function forgetIntent(sql: Sql, id: string): Promise<void> {
	await sql`delete from mesh_keys where id = ${id} and state = 'minting'`;
}

/** Hands a key that nobody was given to housekeeping, which expires it; one that was given away is left alone. Several at once are one. */
export async function endUnheld(sql: Sql, id: string): Promise<void> {
	await sql`update mesh_keys set state = 'ending', next_attempt_at = now() where id = ${id} and state in ('minting', 'minted')`;
}

/** Locks keys that may be given out, in id order; those that housekeeping has taken back are left out. */
export async function lockMinted(tx: Tx, ids: readonly string[]): Promise<readonly string[]> {
	if (ids.length === 0) return [];
	const rows = await tx`
		select id from mesh_keys where id = any (${[...ids]}::text[]) and state = 'minted' order by id limit ${ids.length} for update`;
	return parseRows(v.object({ id: v.string() }), rows).map(({ id }) => id);
}

/** A key that goes to a worker. */
export interface HeldKey {
	readonly id: string;
	readonly hostId: string;
}

/**
 * Gives keys out, and ends those that they replace; those that were given to hosts of `moved` are the hosts' there from now on. The caller holds
 * the lock on the ones given out and on the hosts. Returns how many were given out.
 */
export async function holdKeys(
	tx: Tx,
	held: readonly HeldKey[],
	replaced: readonly string[],
	moved: ReadonlyMap<string, string>,
): Promise<number> {
	if (moved.size > 0) {
		const moves = [...moved].map(([from, to]) => ({ from, to }));
		await tx`
			update mesh_keys k set host_id = r."to" from jsonb_to_recordset(${tx.json(moves)}) as r ("from" text, "to" text)
			where k.host_id = r."from" and k.held_at is not null`;
	}
	if (replaced.length > 0) {
		await tx`update mesh_keys set state = 'ending', next_attempt_at = now() where id = any (${[...replaced]}::text[]) and state in ('minted', 'held')`;
	}
	if (held.length === 0) return 0;
	const rows = await tx`
		update mesh_keys k set state = 'held', held_at = now(), host_id = r."hostId", next_attempt_at = now()
		from jsonb_to_recordset(${tx.json(held as never)}) as r (id text, "hostId" text)
		where k.id = r.id and k.state = 'minted'`;
	return rows.count;
}

const names = { remoteId: v.nullable(v.string()), remoteCreatedAt: v.nullable(time), expiration: v.string(), askedAt: time };

function nameColumns(sql: Sql | Tx) {
	return sql`k.remote_id, k.remote_created_at, k.expiration, k.created_at as asked_at`;
}

/**
 * Gives up the keys of a worker's hosts that were given to it: they are ended and the nodes that joined with them removed, as if the hosts were
 * gone. The caller holds the worker's lock, and keys that are not given out yet are refused by the batch, which sees the worker's state.
 */
export async function disownKeys(tx: Tx, tenantId: string, workerId: string): Promise<void> {
	await tx`
		update mesh_keys set host_id = null, next_attempt_at = now() where tenant_id = ${tenantId} and held_at is not null
			and host_id in (select id from hosts where tenant_id = ${tenantId} and worker_id = ${workerId})`;
}

const claimed = v.object({
	id: v.string(),
	...names,
	attempts: count,
	wasHeld: v.boolean(),
	hostGone: v.boolean(),
	ended: v.boolean(),
});
/** A key that housekeeping has to see to. */
export type ClaimedKey = v.InferOutput<typeof claimed>;

/**
 * Claims keys that nobody came for, that are to end, or whose host is gone; longest due first. Of several servers one gets each, and whoever
 * dies with one leaves it to be claimed again when its lease is over. From here on no worker is given it.
 */
export async function claimDue(sql: Sql, limit: number, leaseSeconds: number): Promise<ClaimedKey[]> {
	const rows = await sql`
		with due as materialized (
			select id from mesh_keys where (state in ('minting', 'minted', 'ending') or host_id is null) and next_attempt_at <= now()
			order by next_attempt_at, id limit ${limit} for update skip locked
		)
		update mesh_keys k set state = case when state in ('minting', 'minted') then 'ending' else state end, attempts = attempts + 1,
			next_attempt_at = now() + ${leaseSeconds} * interval '1 second'
		from due where k.id = due.id
		returning k.id, ${nameColumns(sql)}, k.attempts, k.held_at is not null as was_held, k.host_id is null as host_gone,
			k.state = 'ended' as ended`;
	return parseRows(claimed, rows);
}

/** What became of a claimed key. */
export type KeyStep =
	/** Nobody can use it, and nothing is left of it. */
	| { readonly kind: "forget" }
	/** Nobody can use it; a node may be there that joined with it. */
	| { readonly kind: "ended" }
	| { readonly kind: "again"; readonly afterMs: number };

/** Records a step, unless the key was claimed anew since. */
export async function recordStep(sql: Sql, key: Pick<ClaimedKey, "id" | "attempts">, step: KeyStep): Promise<void> {
	const mine = sql`id = ${key.id} and attempts = ${key.attempts}`;
	switch (step.kind) {
		case "forget":
			await sql`delete from mesh_keys where ${mine}`;
			return;
		case "ended":
			await sql`update mesh_keys set state = 'ended', next_attempt_at = now() + interval '1 second' where ${mine} and state in ('ending', 'held')`;
			return;
		case "again":
			await sql`update mesh_keys set next_attempt_at = now() + ${step.afterMs}::double precision * interval '1 millisecond' where ${mine}`;
			return;
	}
}

/** Keys that have had one id, one after the other: the mesh's databases that an installation has used up. */
const sameIdMax = 10;

/** A tenant's keys that the mesh calls, or once called, by these ids, newest first, with their hosts. */
export async function keysByRemote(
	sql: Sql,
	tenantId: string,
	remoteIds: readonly string[],
): Promise<readonly (KeyName & { readonly hostId: string })[]> {
	const rows = await sql`
		select ${nameColumns(sql)}, k.host_id from mesh_keys k
		where k.tenant_id = ${tenantId} and k.remote_id = any (${[...remoteIds]}::text[]) and k.host_id is not null and k.held_at is not null
		order by k.created_at desc, k.id limit ${remoteIds.length * sameIdMax}`;
	return parseRows(v.object({ ...names, hostId: v.string() }), rows);
}

/** Ended keys of living hosts that were ended, or looked at, so long ago; for the one who looks whether a node is left of them. */
export async function claimEnded(sql: Sql, afterSeconds: number, limit: number): Promise<readonly (KeyName & { readonly id: string })[]> {
	const rows = await sql`
		with old as materialized (
			select id from mesh_keys where state = 'ended' and host_id is not null and next_attempt_at <= now() - ${afterSeconds} * interval '1 second'
			order by next_attempt_at limit ${limit} for update skip locked
		)
		update mesh_keys k set next_attempt_at = now() from old where k.id = old.id returning k.id, ${nameColumns(sql)}`;
	return parseRows(v.object({ id: v.string(), ...names }), rows);
}

/** Forgets ended keys that no node has; those whose host is gone meanwhile are the reaper's. */
export async function forgetEnded(sql: Sql, ids: readonly string[]): Promise<void> {
	if (ids.length === 0) return;
	await sql`delete from mesh_keys where id = any (${[...ids]}::text[]) and state = 'ended' and host_id is not null`;
}
