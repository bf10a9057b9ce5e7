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
 * back nothing but how many rows there were (`count`), and notifications; each sees what was there before all of them, foreign keys are checked after
 * the last. Everything else is sent by itself. When the joined statement fails, each of its parts is rejected with that error, as all would be in a
 * transaction that is lost.
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
	const ctes = parts.map((part, index) => {
		const head = `${index === 0 ? "with" : ","} s${index} as (`;
		return tx`${tx.unsafe(head)}${part as never}${tx.unsafe(isNotification(part.strings) ? ")" : " returning 1)")}`;
	});
	const counts = parts.map((_, index) => `(select count(*) from s${index})::int as s${index}`);
	const [row] = await tx`${ctes as never} ${tx.unsafe(`select ${counts.join(", ")}`)}`;
	parts.forEach((part, index) => {
		part.resolve(Object.assign([], { count: Number(row?.[`s${index}`]) }));
	});
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
