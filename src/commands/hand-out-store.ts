import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows } from "../db/rows.ts";

/** Those of these workers who have commands that have not ended. */
export async function workersWithWork(
	sql: Sql,
	workers: readonly { readonly tenantId: string; readonly workerId: string }[],
): Promise<string[]> {
	const rows = await sql`
		select distinct c.worker_id from jsonb_to_recordset(${sql.json(workers as never)}) as r ("tenantId" text, "workerId" text)
		join commands c on c.tenant_id = r."tenantId" and c.worker_id = r."workerId" and c.ended_at is null limit ${workers.length}`;
	return parseRows(v.object({ workerId: v.string() }), rows).map(({ workerId }) => workerId);
}

/** Makes this the worker's stream of orders, in place of any other; false when the worker is gone. */
export async function takeStream(sql: Sql, tenantId: string, workerId: string, stream: string): Promise<boolean> {
	const rows = await sql`
		insert into command_streams (tenant_id, worker_id, stream)
		select tenant_id, id, ${stream} from workers where tenant_id = ${tenantId} and id = ${workerId} and state = 'ACTIVE'
		on conflict (tenant_id, worker_id) do update set stream = excluded.stream returning worker_id`;
	return rows.length === 1;
}

/** Whether this is still the worker's stream of orders. */
export async function holdsStream(sql: Sql, tenantId: string, workerId: string, stream: string): Promise<boolean> {
	const rows = await sql`
		select worker_id from command_streams where tenant_id = ${tenantId} and worker_id = ${workerId} and stream = ${stream}`;
	return rows.length === 1;
}

const work = v.object({ id: v.string(), isCancelled: v.boolean(), takesInput: v.boolean() });

/** What a worker is to be at: the first of its ordered lane, and the first of its free one: so many short ones, and so many that are followed. */
export async function workOf(
	sql: Sql,
	tenantId: string,
	workerId: string,
	free: { readonly short: number; readonly followed: number },
): Promise<v.InferOutput<typeof work>[]> {
	const of = (lane: string, which: ReturnType<Sql>, limit: number) => sql`
		(select id, sequence, cancel_requested_at is not null as is_cancelled, follows and kind = 'container.exec' as takes_input, by_server from commands
		where tenant_id = ${tenantId} and worker_id = ${workerId} and lane = ${lane} and ended_at is null ${which} order by sequence limit ${limit})`;
	// While a server is at the first of the ordered lane, the worker has nothing to do there.
	const rows = await sql`
		select id, is_cancelled, takes_input from (
			${of("ordered", sql``, 1)} union all ${of("free", sql`and not follows`, free.short)} union all ${of("free", sql`and follows`, free.followed)}
		) as first where not by_server order by sequence`;
	return parseRows(work, rows);
}

/** Notes that a command was given to its worker, the first time, and returns its sealed parameters. The caller holds its lock. */
export async function markHanded(tx: Tx, tenantId: string, id: string, at: number): Promise<string | null> {
	const rows = await tx`
		update commands set handed_at = coalesce(handed_at, ${new Date(at)}) where tenant_id = ${tenantId} and id = ${id} returning params_sealed`;
	return parseFirst(v.object({ paramsSealed: v.nullable(v.string()) }), rows)?.paramsSealed ?? null;
}

const input = v.object({ id: count, commandId: v.string(), data: v.instance(Uint8Array), isEnd: v.boolean() });

/** Takes what waits for the stdin of these commands, in its order, at most `limit` pieces. What is taken is gone: stdin is never written twice. */
export async function takeInput(
	sql: Sql,
	tenantId: string,
	commandIds: readonly string[],
	limit: number,
): Promise<v.InferOutput<typeof input>[]> {
	const rows = await sql`
		delete from command_input where tenant_id = ${tenantId} and (command_id, id) in (
			select command_id, id from command_input where tenant_id = ${tenantId} and command_id = any (${[...commandIds]}::text[])
			order by id limit ${limit})
		returning id, command_id, data, is_end`;
	return parseRows(input, rows).sort((left, right) => left.id - right.id);
}

/** Puts a piece of input behind what waits for a command, unless that is `bytesMax` already; false when it is, or when the input has ended. */
export async function putInput(
	tx: Tx,
	piece: { readonly tenantId: string; readonly commandId: string; readonly data: Uint8Array; readonly isEnd: boolean },
	bytesMax: number,
	piecesMax: number,
): Promise<boolean> {
	const { tenantId, commandId } = piece;
	const rows = await tx`
		insert into command_input (tenant_id, command_id, data, is_end)
		select ${tenantId}, ${commandId}, ${piece.data}::bytea, ${piece.isEnd}
		from (select coalesce(sum(length(data)), 0) as bytes, count(*) as pieces from command_input
			where tenant_id = ${tenantId} and command_id = ${commandId}) as waiting
		where bytes + ${piece.data.length} <= ${bytesMax} and pieces < ${piecesMax}
		returning id`;
	return rows.length === 1;
}
