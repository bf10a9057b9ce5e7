import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { count, parseFirst, parseRows } from "../db/rows.ts";
import { commandChannel } from "./store.ts";

/** A piece of output as it is stored. */
export interface Chunk {
	readonly sequence: number;
	readonly stream: "STDOUT" | "STDERR";
	readonly data: Uint8Array;
}

const outcome = v.object({ isKnown: v.boolean(), isOld: v.boolean(), isStored: v.boolean() });

/**
 * Stores a chunk when there is room, and says so to whoever waits for output. One that was stored or passed on before counts as stored. Chunks that
 * are stored at one moment may overrun the room by as many as there are. `gone`: nobody wants it, since the command has ended, is to end, or is none
 * of this worker's.
 */
export async function storeChunk(
	sql: Sql,
	place: { readonly tenantId: string; readonly workerId: string; readonly commandId: string },
	chunk: Chunk,
	room: { readonly bytes: number; readonly chunks: number },
): Promise<"gone" | "stored" | "full"> {
	const { tenantId, workerId, commandId } = place;
	const rows = await sql`
		with command as (
			select id, output_passed from commands where tenant_id = ${tenantId} and id = ${commandId} and worker_id = ${workerId}
				and ended_at is null and cancel_requested_at is null
		), buffered as (
			select coalesce(sum(length(data)), 0) as bytes, count(*) as chunks, coalesce(bool_or(sequence = ${chunk.sequence}), false) as has_it,
				coalesce(max(sequence), -1) as newest
			from command_output where tenant_id = ${tenantId} and command_id = ${commandId}
		), stored as (
			insert into command_output (tenant_id, command_id, sequence, stream, data)
			select ${tenantId}, command.id, ${chunk.sequence}, ${chunk.stream}, ${chunk.data}::bytea from command, buffered
			where command.output_passed <= ${chunk.sequence} and (
				(bytes + ${chunk.data.length} <= ${room.bytes} and chunks < ${room.chunks})
				-- A reader may wait for this one while those after it have taken the room.
				or (newest > ${chunk.sequence} and bytes <= ${2 * room.bytes} and chunks < ${2 * room.chunks}))
			on conflict (command_id, sequence) do nothing returning sequence
		), told as (
			select pg_notify(${commandChannel}, ${`o ${commandId}`}) from stored
		)
		select exists (select from command) as is_known,
			coalesce((select output_passed > ${chunk.sequence} from command), false) or (select has_it from buffered) as is_old,
			exists (select from stored) as is_stored, (select count(*) from told) as told`;
	const found = parseFirst(outcome, rows);
	if (found?.isKnown !== true) return "gone";
	return found.isStored || found.isOld ? "stored" : "full";
}

/**
 * Makes room by giving up the oldest chunks of a command that changes something and that nobody reads: its work must not wait for a reader. Returns
 * how many went; none of a command that waits.
 */
export async function dropOldest(sql: Sql, tenantId: string, commandId: string, chunks: number): Promise<number> {
	const rows = await sql`
		with gone as (
			delete from command_output o using commands c
			where c.tenant_id = ${tenantId} and c.id = ${commandId} and c.lane = 'ordered' and (c.reader is null or c.reader_until < now())
				and o.command_id = c.id and o.tenant_id = c.tenant_id and o.sequence in (
					select sequence from command_output where tenant_id = ${tenantId} and command_id = ${commandId} order by sequence limit ${chunks})
			returning o.sequence
		), passed as (
			update commands set output_passed = greatest(output_passed, (select max(sequence) + 1 from gone))
			where tenant_id = ${tenantId} and id = ${commandId} and exists (select from gone) returning id
		)
		select (select count(*) from gone) as total, (select count(*) from passed) as moved`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** How long a reader's claim holds without being renewed: what a server that died leaves behind. */
const claimSeconds = 30;

/** Makes this the command's one reader and returns where it begins; undefined when another one's claim holds. */
export async function claimReader(sql: Sql, tenantId: string, commandId: string, reader: string): Promise<number | undefined> {
	const rows = await sql`
		update commands set reader = ${reader}, reader_until = now() + ${claimSeconds} * interval '1 second'
		where tenant_id = ${tenantId} and id = ${commandId} and (reader is null or reader_until < now())
		returning output_passed`;
	return parseFirst(v.object({ outputPassed: count }), rows)?.outputPassed;
}

/** Renews a reader's claim; false when another one has it. */
export async function renewReader(sql: Sql, tenantId: string, commandId: string, reader: string): Promise<boolean> {
	const rows = await sql`
		update commands set reader_until = now() + ${claimSeconds} * interval '1 second'
		where tenant_id = ${tenantId} and id = ${commandId} and reader = ${reader} returning id`;
	return rows.length === 1;
}

/** Gives a reader's claim up; false when another one has it by now. */
export async function releaseReader(sql: Sql, tenantId: string, commandId: string, reader: string): Promise<boolean> {
	const rows = await sql`
		update commands set reader = null, reader_until = now()
		where tenant_id = ${tenantId} and id = ${commandId} and reader = ${reader} returning id`;
	return rows.length === 1;
}

const chunk = v.object({ sequence: count, stream: v.picklist(["STDOUT", "STDERR"]), data: v.instance(Uint8Array) });

/** The next chunks of a command in their order, at most `limit`. */
export async function readChunks(sql: Sql, tenantId: string, commandId: string, limit: number): Promise<Chunk[]> {
	const rows = await sql`
		select sequence, stream, data from command_output where tenant_id = ${tenantId} and command_id = ${commandId}
		order by sequence limit ${limit}`;
	return parseRows(chunk, rows);
}

/** Removes the chunks before `next`, which were passed on, and says to the worker that there is room. */
export async function passChunks(sql: Sql, tenantId: string, commandId: string, next: number): Promise<void> {
	await sql`
		with gone as (
			delete from command_output where tenant_id = ${tenantId} and command_id = ${commandId} and sequence < ${next} returning sequence
		), passed as (
			update commands set output_passed = greatest(output_passed, ${next}) where tenant_id = ${tenantId} and id = ${commandId} returning id
		)
		select pg_notify(${commandChannel}, ${`r ${commandId}`}) from (select (select count(*) from gone), (select count(*) from passed)) as done`;
}
