import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { fuseProviders } from "../hosts/lifecycle.ts";
import { type CommandKind, commandKinds } from "../protocol/commands.ts";
import { fuseFailureSources, fuseOutcomes, fuseSteps, type FusionRecord, serverSteps } from "./fusion.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	hostId: v.string(),
	workerId: v.string(),
	provider: v.picklist(fuseProviders),
	step: v.picklist(fuseSteps),
	challenge: v.string(),
	environmentName: v.nullable(v.string()),
	environmentId: v.nullable(count),
	engineId: v.nullable(v.string()),
	commandId: v.nullable(v.string()),
	requestedBy: v.string(),
	startedAt: time,
	deadlineAt: time,
	fusedAt: v.nullable(time),
	endedAt: v.nullable(time),
	outcome: v.nullable(v.picklist(fuseOutcomes)),
	failureSource: v.nullable(v.picklist(fuseFailureSources)),
	failureMessage: v.nullable(v.string()),
	attempts: v.number(),
	lastError: v.nullable(v.string()),
});

function columns(sql: Sql | Tx) {
	return sql`f.id, f.tenant_id, f.host_id, f.worker_id, f.provider, f.step, f.challenge, f.environment_name, f.environment_id, f.engine_id,
		f.command_id, f.requested_by, f.started_at, f.deadline_at, f.fused_at, f.ended_at, f.outcome, f.failure_source, f.failure_message,
		f.attempts, f.last_error`;
}

/** A fusion that begins. Its times are the database's own clock, so that any server ends it at the same moment. */
export type NewFusion = Pick<
	FusionRecord,
	"id" | "tenantId" | "hostId" | "workerId" | "provider" | "step" | "challenge" | "environmentName" | "requestedBy"
>;

/** Adds a fusion. The caller holds the host's lock; a host has one that lives. */
export async function insertFusion(tx: Tx, fusion: NewFusion, deadlineSeconds: number): Promise<FusionRecord> {
	const rows = await tx`
		insert into fusions as f (id, tenant_id, host_id, worker_id, provider, step, challenge, environment_name, requested_by, started_at,
			deadline_at, due_at, attempts)
		values (${fusion.id}, ${fusion.tenantId}, ${fusion.hostId}, ${fusion.workerId}, ${fusion.provider}, ${fusion.step}, ${fusion.challenge},
			${fusion.environmentName}, ${fusion.requestedBy}, now(), now() + make_interval(secs => ${deadlineSeconds}),
			case when ${fusion.step} = any (${[...serverSteps]}::text[]) then now() end, 0)
		returning ${columns(tx)}`;
	return v.parse(row, rows[0]);
}

/** The newest fusion of each of these hosts. */
export async function latestFusions(sql: Sql, tenantId: string, hostIds: readonly string[]): Promise<FusionRecord[]> {
	const rows = await sql`
		select distinct on (f.host_id) ${columns(sql)} from fusions f
		where f.tenant_id = ${tenantId} and f.host_id = any (${[...hostIds]}::text[])
		order by f.host_id, f.id desc limit ${hostIds.length}`;
	return parseRows(row, rows);
}

/** The host's fusion that lives, locked. The caller holds the host's lock: hosts come before fusions in the order of locks. */
export async function lockLiveFusion(tx: Tx, tenantId: string, hostId: string): Promise<FusionRecord | undefined> {
	const rows = await tx`
		select ${columns(tx)} from fusions f where f.tenant_id = ${tenantId} and f.host_id = ${hostId} and f.outcome is null for update`;
	return parseFirst(row, rows);
}

/** A fusion by id, locked after its host. */
export async function lockFusion(tx: Tx, tenantId: string, id: string): Promise<FusionRecord | undefined> {
	const rows = await tx`select ${columns(tx)} from fusions f where f.tenant_id = ${tenantId} and f.id = ${id} for update`;
	return parseFirst(row, rows);
}

/** The fusion that waits for this command, locked after its host. */
export async function lockFusionOfCommand(tx: Tx, tenantId: string, commandId: string): Promise<FusionRecord | undefined> {
	const rows = await tx`select ${columns(tx)} from fusions f where f.tenant_id = ${tenantId} and f.command_id = ${commandId} for update`;
	return parseFirst(row, rows);
}

/**
 * Writes a fusion's new place, if it is still at `from`; its time columns follow from it. A server's step is due at once, but for the lease of one
 * who may be at the former: what it made would be missed otherwise.
 */
export async function saveFusion(tx: Tx, from: FusionRecord, to: FusionRecord): Promise<FusionRecord | undefined> {
	const rows = await tx`
		update fusions f set step = ${to.step}, environment_id = ${to.environmentId}, engine_id = ${to.engineId}, command_id = ${to.commandId},
			outcome = ${to.outcome}, failure_source = ${to.failureSource}, failure_message = ${to.failureMessage}, last_error = null,
			fused_at = case when ${to.step} = 'FUSED' then now() else f.fused_at end,
			ended_at = case when ${to.outcome}::text is null then null else coalesce(f.ended_at, now()) end,
			due_at = case when ${to.step} = any (${[...serverSteps]}::text[]) then now() end,
			lease_until = case when ${to.outcome}::text is null then null else f.lease_until end
		where f.tenant_id = ${from.tenantId} and f.id = ${from.id} and f.step = ${from.step}
			and f.outcome is not distinct from ${from.outcome}::text
		returning ${columns(tx)}`;
	return parseFirst(row, rows);
}

/** Takes one fusion whose next step a server has to do, until the lease ends. Of several servers each gets another. */
export async function claimStep(sql: Sql, leaseSeconds: number): Promise<FusionRecord | undefined> {
	const rows = await sql`
		with due as materialized (
			select id from fusions where due_at <= now() and (lease_until is null or lease_until <= now())
			order by due_at limit 1 for update skip locked)
		update fusions f set attempts = f.attempts + 1, lease_until = now() + make_interval(secs => ${leaseSeconds}) from due
		where f.id = due.id returning ${columns(sql)}`;
	return parseFirst(row, rows);
}

/** Gives a claimed step back, to be tried again after a while. Nothing when another has it, or the fusion went on. */
export async function putBackStep(sql: Sql, fusion: FusionRecord, afterSeconds: number, error: string | null): Promise<void> {
	await sql`
		update fusions set lease_until = null, due_at = case when due_at is null then null else now() + make_interval(secs => ${afterSeconds}) end,
			last_error = coalesce(${error}, last_error)
		where tenant_id = ${fusion.tenantId} and id = ${fusion.id} and attempts = ${fusion.attempts}`;
}

const ref = v.object({ tenantId: v.string(), id: v.string(), hostId: v.string() });
export type FusionRef = v.InferOutput<typeof ref>;

/** Fusions whose time is over (H11). Read without a lock: who acts locks and looks again. */
export async function expiredFusions(sql: Sql, limit: number): Promise<FusionRef[]> {
	const rows = await sql`
		select tenant_id, id, host_id from fusions where outcome is null and fused_at is null and deadline_at <= now()
		order by deadline_at limit ${limit}`;
	return parseRows(ref, rows);
}

/** Fusions that have lost what they were for: their host or its worker is gone or another, or its engine is another than the pinned one. */
export async function strayFusions(sql: Sql, limit: number): Promise<(FusionRef & { readonly hostGone: boolean })[]> {
	const rows = await sql`
		select f.tenant_id, f.id, f.host_id, h.worker_id is distinct from f.worker_id as host_gone
		from fusions f
		left join hosts h on h.tenant_id = f.tenant_id and h.id = f.host_id
		left join engines e on e.tenant_id = f.tenant_id and e.host_id = f.host_id
		where (f.outcome is null or f.step = 'REMOVE_AGENT')
			and (h.worker_id is distinct from f.worker_id or (f.step = 'FUSED' and e.engine_id <> f.engine_id))
		order by f.id limit ${limit}`;
	return parseRows(v.object({ ...ref.entries, hostGone: v.boolean() }), rows);
}

/** The engine that a host's worker saw last; undefined when it saw none. */
export async function reportedEngine(sql: Sql | Tx, tenantId: string, hostId: string): Promise<string | undefined> {
	const rows = await sql`
		select engine_id from engines where tenant_id = ${tenantId} and host_id = ${hostId} and engine_id is not null limit 1`;
	return parseFirst(v.object({ engineId: v.string() }), rows)?.engineId;
}

const changing = (Object.keys(commandKinds) as CommandKind[]).filter((kind) => commandKinds[kind].needs === "fused");

/** Commands of a host that change containers and have not ended. */
export async function pendingChanges(tx: Tx, tenantId: string, hostId: string, limit: number): Promise<string[]> {
	const rows = await tx`
		select id from commands where tenant_id = ${tenantId} and host_id = ${hostId} and ended_at is null and cancel_requested_at is null
			and kind = any (${changing}::text[]) order by sequence limit ${limit}`;
	return parseRows(v.object({ id: v.string() }), rows).map(({ id }) => id);
}

/** Forgets fusions that ended more than 30 days ago. */
export async function pruneFusions(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from fusions where step = 'ENDED' and ended_at < now() - interval '30 days' limit ${limit} for update skip locked)
		delete from fusions f using old where f.id = old.id`;
	return gone.count;
}
