import { setImmediate } from "node:timers";
import type { Sql, Tx } from "./port.ts";
import { sharedSource, shareRows } from "./recordset.ts";
import type { Statement } from "./session.ts";
import { type SharedRows, sharedRows } from "./shared-rows.ts";
import { templateOver } from "./template.ts";

/** A statement as the driver made it, as far as this file reads it. */
type Made = Statement & {
	readonly strings: readonly string[];
	readonly resolve: (result: unknown) => void;
	expected?: Expected;
};

interface Expected {
	readonly rows: number;
	readonly table: string;
}

/** A statement wrote another number of rows than `exactly` said. The database raises the same code. */
export class Miscounted extends Error {
	override readonly name = "Miscounted";
	readonly code = "MU001";
}

/** Most statements in one: each makes the text longer that a session has to remember. */
const partsMax = 12;

/**
 * Runs `work` with a template that sends what is awaited at the same time as one statement: a batch of enrollments writes nine tables,
 * and nine round trips are longer than the writing. Order is kept. What is joined are inserts and updates of different tables that give
 * back nothing but how many rows there were (`count`), and notifications; each sees what was there before all of them, foreign keys are checked after
 * the last. Everything else is sent by itself. When the joined statement fails, each of its parts is rejected with that error, as all would be in a
 * transaction that is lost.
 */
export async function together<T>(tx: Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
	return gather(tx, work, (waiting) => joinable(waiting.map(({ strings }) => strings)));
}

/**
 * Runs `work`, which awaits all of its statements at the same time, as one statement outside of a transaction: it commits by itself, or nothing of it is
 * there. Lists of equal length (`recordset`) go in once. Rejects before anything is sent when they cannot be one. A connection lost meanwhile leaves the outcome open, and there is no second try.
 */
export async function alone<T>(sql: Sql, work: (tx: Tx) => Promise<T>): Promise<T> {
	let sent = false;
	const joined = (waiting: readonly Made[]) => {
		if (sent || joinable(waiting.map(({ strings }) => strings)) !== waiting.length) throw new Error("These writes cannot be one statement");
		sent = true;
		return waiting.length;
	};
	return gather(sql as Tx, work, joined, sharedRows());
}

/** The statement, which fails with Miscounted, or as a whole in the database with the same code, when it writes another number of rows. */
export function exactly<T extends PromiseLike<unknown>>(statement: T, rows: number, table: string): T {
	return Object.assign(statement, { expected: { rows, table } satisfies Expected });
}

async function gather<T>(
	tx: Tx,
	work: (tx: Tx) => Promise<T>,
	joined: (waiting: readonly Made[]) => number,
	shared?: SharedRows,
): Promise<T> {
	const waiting: Made[] = [];
	let sending: Promise<void> | undefined;

	async function send(): Promise<void> {
		await new Promise((resolve) => setImmediate(resolve));
		while (waiting.length > 0) {
			let parts: readonly Made[] = waiting;
			try {
				const count = joined(waiting);
				parts = waiting.splice(0, Math.max(1, count));
				if (parts.length > 1 || shared !== undefined) await sendJoined(tx, parts, shared);
				else for (const part of parts) settle(part, await tx`${part as never}`);
			} catch (error) {
				for (const part of parts) part.reject(error);
				if (parts === waiting) waiting.length = 0;
			}
		}
		sending = undefined;
	}

	const gathering = templateOver(tx, (statement) => {
		waiting.push(statement as Made);
		sending ??= send();
	}) as Tx;
	if (shared !== undefined) shareRows(gathering, shared);
	const result = await work(gathering);
	await sending;
	return result;
}

async function sendJoined(tx: Tx, parts: readonly Made[], shared: SharedRows | undefined): Promise<void> {
	const source = shared === undefined ? undefined : sharedSource(tx, shared);
	const ctes = parts.map((part, index) => {
		const head = `${index === 0 && source === undefined ? "with" : ","} s${index} as (`;
		return tx`${tx.unsafe(head)}${part as never}${tx.unsafe(isNotification(part.strings) ? ")" : " returning 1)")}`;
	});
	const counts = parts.map(({ expected }, index) => {
		const comma = tx.unsafe(index === 0 ? "select" : ",");
		const count = tx.unsafe(`(select count(*) from s${index})`);
		const written = expected === undefined ? count : tx`muster_exactly(${count}, ${expected.rows}::int, ${expected.table}::text)`;
		return tx`${comma} ${written}::int ${tx.unsafe(`as s${index}`)}`;
	});
	const [row] = await tx`${source === undefined ? tx`` : tx`with ${source}`} ${ctes as never} ${counts as never}`;
	parts.forEach((part, index) => {
		part.resolve(Object.assign([], { count: Number(row?.[`s${index}`]) }));
	});
}

/** Settles one that was sent by itself. */
function settle(part: Made, rows: Awaited<ReturnType<Sql>>): void {
	const { expected } = part;
	if (expected === undefined || rows.count === expected.rows) part.resolve(rows);
	else part.reject(new Miscounted(`Wrote ${rows.count} rows of ${expected.table} and not ${expected.rows}: another transaction was first`));
}

/** How many of these texts, from the first on, may be one statement: at most one for each table. Pure. */
export function joinable(texts: readonly (readonly string[])[]): number {
	const places = new Set<string>();
	for (const text of texts.slice(0, partsMax)) {
		const place = isNotification(text) ? "a notification" : tableOf(text);
		if (place === undefined || places.has(place)) break;
		places.add(place);
	}
	return places.size;
}

/** The table that a statement writes; undefined when it reads, or gives rows back. */
function tableOf(strings: readonly string[]): string | undefined {
	const whole = strings.join(" ? ");
	return /\breturning\b/.test(whole) ? undefined : /^\s*(?:insert into|update) (\w+)/.exec(whole)?.[1];
}

function isNotification(strings: readonly string[]): boolean {
	return /^\s*select pg_notify\(/.test(strings[0] ?? "");
}
