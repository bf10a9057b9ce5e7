import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { parseFirst } from "../db/rows.ts";

const run = v.object({ tenantId: v.string(), commandId: v.string(), runs: v.number() });
/** A server's turn at a command; `runs` is its number. */
export type Run = v.InferOutput<typeof run>;

/**
 * Takes the turn at one command that a server does, until the lease ends: the first of its host's ordered lane, of a host that is there (H13). Of
 * several servers one gets it.
 */
export async function claimRun(sql: Sql, leaseSeconds: number): Promise<Run | undefined> {
	const rows = await sql`
		with due as materialized (
			select c.tenant_id, c.id from commands c
			join hosts h on h.tenant_id = c.tenant_id and h.id = c.host_id and (h.state <> 'DEGRADED' or c.cancel_requested_at is not null)
			left join command_runs r on r.command_id = c.id
			where c.by_server and c.ended_at is null and (r.lease_until is null or r.lease_until <= now())
				and not exists (select from commands e where e.tenant_id = c.tenant_id and e.worker_id = c.worker_id and e.lane = 'ordered'
					and e.ended_at is null and e.sequence < c.sequence)
			order by c.sequence limit 1 for update of c skip locked)
		insert into command_runs (tenant_id, command_id, runs, lease_until)
		select tenant_id, id, 1, now() + make_interval(secs => ${leaseSeconds}) from due
		on conflict (command_id) do update set runs = command_runs.runs + 1, lease_until = excluded.lease_until
			where command_runs.lease_until <= now()
		returning tenant_id, command_id, runs`;
	return parseFirst(run, rows);
}

const held = v.object({ isCancelled: v.boolean() });

/** Keeps the turn for another lease, and says whether somebody wants the command to end; undefined when the turn or the command is over. */
export async function renewRun(
	sql: Sql,
	{ tenantId, commandId, runs }: Run,
	leaseSeconds: number,
): Promise<{ isCancelled: boolean } | undefined> {
	const rows = await sql`
		update command_runs r set lease_until = now() + make_interval(secs => ${leaseSeconds}) from commands c
		where r.tenant_id = ${tenantId} and r.command_id = ${commandId} and r.runs = ${runs} and c.id = r.command_id and c.ended_at is null
		returning c.cancel_requested_at is not null as is_cancelled`;
	return parseFirst(held, rows);
}

/** Gives the turn back, so that another server may have it at once. */
export async function releaseRun(sql: Sql, { tenantId, commandId, runs }: Run): Promise<void> {
	await sql`update command_runs set lease_until = now() where tenant_id = ${tenantId} and command_id = ${commandId} and runs = ${runs}`;
}

/** Whether the turn is still this one: who was late must not say how the command ended. The caller holds the command's lock. */
export async function holdsRun(tx: Tx, { tenantId, commandId, runs }: Run): Promise<boolean> {
	const rows = await tx`
		select command_id from command_runs where tenant_id = ${tenantId} and command_id = ${commandId} and runs = ${runs}`;
	return rows.length === 1;
}
