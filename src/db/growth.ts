import * as v from "valibot";
import type { Log } from "../lib/log.ts";
import type { Db } from "./port.ts";
import { parseRows } from "./rows.ts";

/** Rows after which the statistics are looked at first, and how much more each next time. */
const firstRows = 64;
const factor = 4;

/** Keeps PostgreSQL's statistics in step with tables that grow fast. */
export interface Growth {
	/** So many rows were committed into each of the tables. Never waits, never throws. */
	grew(rows: number): void;
	/** Settles when no look at the statistics is under way. */
	settled(): Promise<void>;
}

/**
 * Analyzes tables that this process has filled, whenever they have grown fourfold. Autovacuum comes once a minute at most: until then
 * the plans that were made and kept while a table was empty read an index from end to end for each foreign key, so the first machines of a
 * new installation, or a burst of ten thousand, would meet a server that gets slower with each of them (600 a second instead of
 * thousands, bench/README.md). Tables whose statistics already know of more rows are left to autovacuum. What fails is logged; nothing
 * depends on it.
 */
export function watchGrowth(deps: { readonly db: Db; readonly log: Log }, tables: readonly string[]): Growth {
	let total = 0;
	let next = firstRows;
	let looking: Promise<void> | undefined;

	async function look(rows: number): Promise<void> {
		const { sql } = deps.db;
		const known = parseRows(
			v.object({ relname: v.string() }),
			await sql`
				select relname from pg_class
				where relkind = 'r' and relnamespace = current_schema()::regnamespace and relname = any (${[...tables]}::text[]) and reltuples < ${rows}`,
		);
		for (const { relname } of known) await sql`analyze ${sql(relname)}`;
	}

	return {
		grew(rows) {
			total += rows;
			if (total < next || looking !== undefined) return;
			while (next <= total) next *= factor;
			looking = look(total)
				.catch((error: unknown) => deps.log.warn("database.analyze_failed", { error }))
				.finally(() => {
					looking = undefined;
				});
		},
		settled: async () => looking,
	};
}
