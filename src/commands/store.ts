import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import { commandErrors, type CommandKind, commandKinds, type CommandState, commandStates } from "../protocol/commands.ts";
import type { CommandRecord } from "./command.ts";

const kinds = Object.keys(commandKinds) as CommandKind[];
const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	hostId: v.string(),
	workerId: v.string(),
	kind: v.picklist(kinds),
	lane: v.picklist(["free", "ordered"]),
	state: v.picklist(commandStates),
	params: v.record(v.string(), v.unknown()),
	requestedBy: v.string(),
	requestedAt: time,
	deadlineAt: time,
	handedAt: v.nullable(time),
	startedAt: v.nullable(time),
	cancelRequestedAt: v.nullable(time),
	endedAt: v.nullable(time),
	result: v.unknown(),
	errorCode: v.nullable(v.picklist(commandErrors)),
	errorMessage: v.nullable(v.string()),
	follows: v.boolean(),
});

function columns(sql: Sql | Tx) {
	return sql`c.id, c.tenant_id, c.host_id, c.worker_id, c.kind, c.lane, c.state, c.params, c.requested_by, c.requested_at, c.deadline_at,
		c.handed_at, c.started_at, c.cancel_requested_at, c.ended_at, c.result, c.error_code, c.error_message, c.follows`;
}

/** The NOTIFY channel of commands: `w <worker>` there is work for a worker, `o <command>` there is output, `r <command>` there is room for it. */
export const commandChannel = "muster_commands";

/** Tells every server process when the transaction commits. A hint: whoever waits also looks by itself. */
export async function hint(sql: Sql | Tx, ...whats: readonly (readonly ["w" | "o" | "r", string])[]): Promise<void> {
	const payloads = whats.map(([what, id]) => `${what} ${id}`);
	await sql`select pg_notify(${commandChannel}, payload) from unnest(${payloads}::text[]) as payload`;
}

/** Queues a command behind those its host has. The caller holds the host's lock, which makes the order of ids the order of commits. */
export async function insertCommand(
	tx: Tx,
	command: CommandRecord,
	sealed: string | null,
	readerUntil: number | null,
	/** A server does it in place of the worker. */
	byServer: boolean,
): Promise<void> {
	await tx`
		insert into commands (id, tenant_id, host_id, worker_id, kind, lane, state, params, params_sealed, requested_by, requested_at, deadline_at,
			follows, reader_until, output_passed, by_server)
		values (${command.id}, ${command.tenantId}, ${command.hostId}, ${command.workerId}, ${command.kind}, ${command.lane}, ${command.state},
			${tx.json(command.params as never)}, ${sealed}, ${command.requestedBy}, ${new Date(command.requestedAt)}, ${new Date(command.deadlineAt)},
			${command.follows}, ${readerUntil === null ? null : new Date(readerUntil)}, 0, ${byServer})`;
}

/** Commands by id, of one tenant. */
export async function commandsByIds(sql: Sql | Tx, tenantId: string, ids: readonly string[]): Promise<CommandRecord[]> {
	const rows = await sql`
		select ${columns(sql)} from commands c where c.tenant_id = ${tenantId} and c.id = any (${[...ids]}::text[]) limit ${ids.length}`;
	return parseRows(row, rows);
}

/** Locks a command. The caller has locked its host before: hosts come before commands in the order of locks. */
export async function lockCommand(tx: Tx, tenantId: string, id: string): Promise<CommandRecord | undefined> {
	const rows = await tx`select ${columns(tx)} from commands c where c.tenant_id = ${tenantId} and c.id = ${id} for no key update`;
	return parseFirst(row, rows);
}

/** How many commands of a worker have not ended; and how many of them are followed by somebody, and are not asked to end. */
export async function countUnfinished(
	tx: Tx,
	tenantId: string,
	workerId: string,
): Promise<{ readonly total: number; readonly followed: number }> {
	const rows = await tx`
		select count(*) as total, count(*) filter (where follows and cancel_requested_at is null) as followed from commands
		where tenant_id = ${tenantId} and worker_id = ${workerId} and ended_at is null`;
	return parseFirst(v.object({ total: count, followed: count }), rows) ?? { total: 0, followed: 0 };
}

/** Writes a command's state as the caller, who holds its lock, has decided it. With the end its sealed parameters go. */
export async function saveState(tx: Tx, command: CommandRecord): Promise<void> {
	const { startedAt, endedAt, cancelRequestedAt } = command;
	await tx`
		update commands set state = ${command.state}, started_at = ${startedAt === null ? null : new Date(startedAt)},
			ended_at = ${endedAt === null ? null : new Date(endedAt)}, result = ${command.result === null ? null : tx.json(command.result as never)},
			error_code = ${command.errorCode}, error_message = ${command.errorMessage},
			cancel_requested_at = ${cancelRequestedAt === null ? null : new Date(cancelRequestedAt)},
			params_sealed = case when ${endedAt === null} then params_sealed end
		where tenant_id = ${command.tenantId} and id = ${command.id}`;
}

/** What a page of commands is narrowed to. */
export interface CommandFilter {
	readonly hostId?: string;
	readonly state?: CommandState;
}

function where(sql: Sql, tenantId: string, filter: CommandFilter) {
	return sql`c.tenant_id = ${tenantId}
		${filter.hostId === undefined ? sql`` : sql`and c.host_id = ${filter.hostId}`}
		${filter.state === undefined ? sql`` : sql`and c.state = ${filter.state}`}`;
}

/** One page of commands, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfCommands(
	sql: Sql,
	tenantId: string,
	filter: CommandFilter,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<CommandRecord[]> {
	return parseRows(
		row,
		await sql`
		select ${columns(sql)} from commands c
		where ${where(sql, tenantId, filter)}
			${page.after === undefined ? sql`` : sql`and c.id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and c.id > ${page.before}`}
		order by c.id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many commands the filter lets through. */
export async function countCommands(sql: Sql, tenantId: string, filter: CommandFilter): Promise<number> {
	const rows = await sql`select count(*) as total from commands c where ${where(sql, tenantId, filter)}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** Sealed parameters of commands that have not ended; `lock` holds the rows for the one who seals them anew. */
export async function sealedParams(tx: Tx, lock: boolean): Promise<{ readonly id: string; readonly sealed: string }[]> {
	const rows = await tx`
		select id, params_sealed as sealed from commands where ended_at is null and params_sealed is not null ${lock ? tx`for no key update` : tx``}`;
	return parseRows(v.object({ id: v.string(), sealed: v.string() }), rows);
}

/** Puts newly sealed parameters in the place of the former ones. */
export async function replaceSealedParams(tx: Tx, id: string, sealed: string): Promise<void> {
	await tx`update commands set params_sealed = ${sealed} where id = ${id} and params_sealed is not null`;
}
