import * as v from "valibot";
import type { Sql } from "../db/port.ts";
import { count, parseFirst, parseRows } from "../db/rows.ts";

const place = v.object({ tenantId: v.string(), id: v.string() });
export type CommandPlace = v.InferOutput<typeof place>;

/** Commands whose time is over: those no worker has at once, others after `graceSeconds` in which the worker can end them itself. Oldest first. */
export async function dueCommands(sql: Sql, now: number, graceSeconds: number, limit: number): Promise<CommandPlace[]> {
	const rows = await sql`
		select tenant_id, id from commands where ended_at is null and deadline_at <= ${new Date(now)}
			and (handed_at is null or deadline_at <= ${new Date(now - graceSeconds * 1_000)})
		order by deadline_at limit ${limit}`;
	return parseRows(place, rows);
}

/** Commands that nobody will take: their host is gone or has another worker, or the worker is not active any more. */
export async function orphanedCommands(sql: Sql, limit: number): Promise<CommandPlace[]> {
	const rows = await sql`
		select c.tenant_id, c.id from commands c
		left join hosts h on h.id = c.host_id and h.tenant_id = c.tenant_id and h.worker_id = c.worker_id
		left join workers w on w.tenant_id = c.tenant_id and w.id = c.worker_id and w.state = 'ACTIVE'
		where c.ended_at is null and (h.id is null or w.id is null) order by c.deadline_at limit ${limit}`;
	return parseRows(place, rows);
}

/** Commands that live for a reader and have none: it left with its server, or never came. */
export async function unreadCommands(sql: Sql, limit: number): Promise<CommandPlace[]> {
	const rows = await sql`
		select tenant_id, id from commands
		where ended_at is null and follows and cancel_requested_at is null and reader_until < now() order by deadline_at limit ${limit}`;
	return parseRows(place, rows);
}

/** Deletes a bounded number of commands that ended more than a week ago, with what is left of their output. */
export async function pruneCommands(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from commands where ended_at < now() - interval '7 days' order by ended_at limit ${limit} for update skip locked)
		delete from commands c using old where c.id = old.id`;
	return gone.count;
}

/** Deletes output that nobody fetched within ten minutes of its command's end, and input that came too late. Bounded. */
export async function pruneStreams(sql: Sql, limit: number): Promise<void> {
	await sql`
		delete from command_output where (command_id, sequence) in (
			select o.command_id, o.sequence from command_output o join commands c on c.id = o.command_id
			where c.ended_at < now() - interval '10 minutes' and (c.reader is null or c.reader_until < now()) limit ${limit})`;
	await sql`
		delete from command_input where (command_id, id) in (
			select i.command_id, i.id from command_input i join commands c on c.id = i.command_id where c.ended_at is not null limit ${limit})`;
}

/** Commands that no worker was given, and how long the oldest has waited. */
export async function queueOf(sql: Sql): Promise<{ readonly depth: number; readonly ageSeconds: number }> {
	const rows = await sql`
		select count(*) as depth, coalesce(extract(epoch from now() - min(requested_at)), 0)::float8 as age_seconds
		from commands where ended_at is null and handed_at is null`;
	return parseFirst(v.object({ depth: count, ageSeconds: v.number() }), rows) ?? { depth: 0, ageSeconds: 0 };
}
