import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { composeLabels } from "../engine/stack-labels.ts";
import { type StackContainer, type StackOutcome, stackOutcomes, type StackRecord } from "./stack.ts";

const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	hostId: v.string(),
	name: v.string(),
	revision: v.number(),
	services: v.array(v.object({ name: v.string(), image: v.string(), replicas: v.number() })),
	variables: v.array(v.string()),
	createdAt: time,
	updatedAt: time,
	updatedBy: v.string(),
	commandId: v.string(),
	outcome: v.nullable(v.picklist(stackOutcomes)),
	error: v.nullable(v.string()),
});

function columns(sql: Sql | Tx) {
	return sql`s.id, s.tenant_id, s.host_id, s.name, s.revision, s.services, s.variables, s.created_at, s.updated_at, s.updated_by,
		s.command_id, s.outcome, s.error`;
}

/** Stacks by id, of one tenant. */
export async function stacksByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<StackRecord[]> {
	return parseRows(
		row,
		await sql`select ${columns(sql)} from stacks s where s.tenant_id = ${tenantId} and s.id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** The stacks of these hosts by name, at most `each` a host. */
export async function stacksOfHosts(sql: Sql, tenantId: string, hostIds: readonly string[], each: number): Promise<StackRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from stacks s where s.tenant_id = ${tenantId} and s.host_id = any (${[...hostIds]}::text[])
		order by s.host_id, s.name limit ${hostIds.length * each}`,
	);
}

/** A stack by host and name, for changing it. The caller holds the host's lock, which everybody takes who changes a host's stacks. */
export async function stackOf(sql: Sql | Tx, tenantId: string, hostId: string, name: string): Promise<StackRecord | undefined> {
	const rows = await sql`
		select ${columns(sql)} from stacks s where s.tenant_id = ${tenantId} and s.host_id = ${hostId} and s.name = ${name} limit 1`;
	return parseFirst(row, rows);
}

/** How many stacks a host has. */
export async function countStacks(tx: Tx, tenantId: string, hostId: string): Promise<number> {
	const rows = await tx`select count(*) as total from stacks where tenant_id = ${tenantId} and host_id = ${hostId}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** The sealed text of a stack; undefined when there is no such stack. */
export async function desiredSealed(sql: Sql | Tx, tenantId: string, id: string): Promise<string | undefined> {
	const rows = await sql`select desired_sealed as sealed from stacks where tenant_id = ${tenantId} and id = ${id}`;
	return parseFirst(v.object({ sealed: v.string() }), rows)?.sealed;
}

/** Writes a stack as it shall be, new or in place of what it was. The caller holds the host's lock. */
export async function saveStack(tx: Tx, stack: StackRecord, sealed: string): Promise<void> {
	const services = tx.json(stack.services as never);
	await tx`
		insert into stacks (id, tenant_id, host_id, name, revision, desired_sealed, services, variables, created_at, updated_at, updated_by,
			command_id, outcome, error)
		values (${stack.id}, ${stack.tenantId}, ${stack.hostId}, ${stack.name}, ${stack.revision}, ${sealed}, ${services},
			${[...stack.variables]}::text[], ${new Date(stack.createdAt)}, ${new Date(stack.updatedAt)}, ${stack.updatedBy}, ${stack.commandId},
			${stack.outcome}, ${stack.error})
		on conflict (id) do update set revision = excluded.revision, desired_sealed = excluded.desired_sealed, services = excluded.services,
			variables = excluded.variables, updated_at = excluded.updated_at, updated_by = excluded.updated_by, command_id = excluded.command_id,
			outcome = excluded.outcome, error = excluded.error`;
}

/** Notes how a command ended at the stack whose last one it is; at none when there was another since. */
export async function saveOutcome(
	tx: Tx,
	tenantId: string,
	commandId: string,
	end: { readonly outcome: StackOutcome; readonly error: string | null },
): Promise<void> {
	await tx`
		update stacks set outcome = ${end.outcome}, error = ${end.error}
		where tenant_id = ${tenantId} and command_id = ${commandId}`;
}

/** Takes away the stack whose last command this is; none when there was another since. */
export async function dropStack(tx: Tx, tenantId: string, commandId: string): Promise<void> {
	await tx`delete from stacks where tenant_id = ${tenantId} and command_id = ${commandId}`;
}

const containerRow = v.object({ hostId: v.string(), project: v.string(), service: v.string(), state: v.string(), status: v.string() });
/** Most containers of one host that are looked at. */
const containersMax = 10_000;

/** What the workers of these hosts reported of containers that Compose's labels put into a project. */
export async function containersOfHosts(sql: Sql, tenantId: string, hostIds: readonly string[]): Promise<StackContainer[]> {
	const rows = await sql`
		select host_id, labels ->> ${composeLabels.project} as project, coalesce(labels ->> ${composeLabels.service}, '') as service, state, status
		from containers
		where tenant_id = ${tenantId} and host_id = any (${[...hostIds]}::text[]) and labels ->> ${composeLabels.project} is not null
		limit ${hostIds.length * containersMax}`;
	return parseRows(containerRow, rows);
}

/** Every sealed text; locked for sealing it anew under another master key. */
export async function sealedStacks(tx: Tx, lock: boolean): Promise<readonly { readonly id: string; readonly sealed: string }[]> {
	const rows = await tx`select id, desired_sealed as sealed from stacks order by id ${lock ? tx`for update` : tx``}`;
	return parseRows(v.object({ id: v.string(), sealed: v.string() }), rows);
}

/** Puts a text that was sealed anew in its place. */
export async function replaceSealedStack(tx: Tx, id: string, sealed: string): Promise<void> {
	await tx`update stacks set desired_sealed = ${sealed} where id = ${id}`;
}
