import { setImmediate } from "node:timers";
import type { Tx } from "./port.ts";
import type { Statement } from "./session.ts";
import { templateOver } from "./template.ts";

/** A statement as the driver made it, as far as this file reads it. */
type Made = Statement & {
	readonly strings: readonly string[];
	readonly resolve: (result: unknown) => void;
};

/** Most statements in one: each makes the text longer that a session has to remember. */
const partsMax = 12;

/**
 * Runs `work` with a template that sends what is awaited at the same time as one statement: a batch of enrollments writes nine tables,
 * and nine round trips are longer than the writing. Order is kept. What is joined are inserts and updates of different tables that give
 * back nothing, or one column; each sees what was there before all of them, foreign keys are checked after the last. Everything else is sent
 * by itself. When the joined statement fails, each of its parts is rejected with that error, as all would be in a transaction that is lost.
 */
export async function together<T>(tx: Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
	const waiting: Made[] = [];
	let sending: Promise<void> | undefined;

	async function send(): Promise<void> {
		await new Promise((resolve) => setImmediate(resolve));
		while (waiting.length > 0) {
			const count = joinable(waiting.map(({ strings }) => strings));
			const parts = waiting.splice(0, Math.max(1, count));
			try {
				if (count > 1) await sendJoined(tx, parts);
				else for (const part of parts) part.resolve(await tx`${part as never}`);
			} catch (error) {
				for (const part of parts) part.reject(error);
			}
		}
		sending = undefined;
	}

	const gathering = templateOver(tx, (statement) => {
		waiting.push(statement as Made);
		sending ??= send();
	}) as Tx;
	const result = await work(gathering);
	await sending;
	return result;
}

async function sendJoined(tx: Tx, parts: readonly Made[]): Promise<void> {
	const read = parts.flatMap(({ strings }, index) =>
		returnsOne(strings) ? [`array(select to_jsonb(s${index}) from s${index}) as s${index}`] : [],
	);
	const ctes = parts.map((part, index) => tx`${tx.unsafe(index === 0 ? "with s0 as (" : `, s${index} as (`)}${part as never})`);
	const [row] = await tx`${ctes as never} ${tx.unsafe(`select ${read.length === 0 ? "1" : read.join(", ")}`)}`;
	parts.forEach((part, index) => {
		part.resolve(row?.[`s${index}`] ?? []);
	});
}

/** How many of these texts, from the first on, may be one statement: at most one for each table. Pure. */
export function joinable(texts: readonly (readonly string[])[]): number {
	const tables = new Set<string>();
	for (const text of texts.slice(0, partsMax)) {
		const table = tableOf(text);
		if (table === undefined || tables.has(table)) break;
		tables.add(table);
	}
	return tables.size;
}

/** The table that a statement writes; undefined when it reads, or gives back more than one column. */
function tableOf(strings: readonly string[]): string | undefined {
	const whole = strings.join(" ? ");
	const table = /^\s*(?:insert into|update) (\w+)/.exec(whole)?.[1];
	return /\breturning\b/.test(whole) && !returnsOne(strings) ? undefined : table;
}

function returnsOne(strings: readonly string[]): boolean {
	return /\breturning \w+\s*$/.test(strings.at(-1) ?? "");
}
