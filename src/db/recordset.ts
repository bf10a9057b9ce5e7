import type { Sql } from "./port.ts";
import type { SharedRows } from "./shared-rows.ts";

/** How a column of a list is read; `time` comes as milliseconds since the epoch and becomes a timestamptz. */
export type ColumnType = "text" | "boolean" | "int" | "bigint" | "float" | "time" | "jsonb";

/** The columns of a list by the names of its objects' properties, in any order. */
export type Columns = Readonly<Record<string, ColumnType>>;

const reads: Readonly<Record<ColumnType, (list: string, at: number | string) => string>> = {
	text: (list, at) => `${list} ->> ${at}`,
	boolean: (list, at) => `(${list} ->> ${at})::boolean`,
	int: (list, at) => `(${list} ->> ${at})::int`,
	bigint: (list, at) => `(${list} ->> ${at})::bigint`,
	float: (list, at) => `(${list} ->> ${at})::double precision`,
	time: (list, at) => `to_timestamp((${list} ->> ${at})::double precision / 1000.0)`,
	// JSON's null is NULL.
	jsonb: (list, at) => `nullif(${list} -> ${at}, 'null')`,
};

/** Texts by their columns, so that the same statement is the same text. */
const texts = new WeakMap<Columns, Readonly<Record<"row" | "common" | "sharedRow" | "sharedCommon", string>>>();

/** Templates whose lists go together (`shareRows`). */
const sharing = new WeakMap<Sql, SharedRows>();

/** From now on the lists that this template sends in statements go into `rows` where they can; who sends the statements puts `sharedSource` before them. */
export function shareRows(sql: Sql, rows: SharedRows): void {
	sharing.set(sql, rows);
}

/** What lists that go together are read from, for the head of their statement's `with`; undefined when there are none. */
export function sharedSource(sql: Sql, shared: SharedRows) {
	const rows = shared.rows();
	return rows === undefined ? undefined : sql`muster_rows (v) as materialized (select jsonb_array_elements(${sql.json(rows as never)}))`;
}

/**
 * A list of objects as a table to select from: `from ${recordset(tx, rows, columns)} as r`. Every object has all of the columns; others are left out.
 * Two JSON parameters: what all rows have in common (the tenant, the site, the time), which is most of an enrollment and is read once, and the
 * rows. They go as arrays and not as objects, because jsonb_to_recordset takes twice as long (bench/README.md).
 */
export function recordset<Row extends object>(sql: Sql, rows: readonly Row[], columns: { readonly [Name in keyof Row]?: ColumnType }) {
	const text = textOf(columns as Columns);
	const names = Object.keys(columns) as (keyof Row)[];
	const placed = sharing.get(sql)?.take(rows, names);
	if (placed !== undefined) {
		return sql`(select ${sql.unsafe(text.sharedRow)} from (
				select ${sql.unsafe(text.sharedCommon)}
				from (select ${sql.json(placed.common as never)}::jsonb as p, ${sql.json(placed.places as never)}::jsonb as q) as q offset 0
			) as c, muster_rows as e (v))`;
	}
	const { common, rest } = packed(rows, names);
	return sql`(select ${sql.unsafe(text.row)} from (
			select ${sql.unsafe(text.common)} from (select ${sql.json(common as never)}::jsonb as p) as q offset 0
		) as c, jsonb_array_elements(${sql.json(rest as never)}) as e (v))`;
}

/** What all rows have in common, each in the place of its column, and the rows with null in its place. Pure. */
export function packed<Row extends object>(
	rows: readonly Row[],
	names: readonly (keyof Row)[],
): { readonly common: readonly unknown[]; readonly rest: readonly (readonly unknown[])[] } {
	const first = rows[0];
	const common: unknown[] = names.map((name) => (rows.every((row) => row[name] === first?.[name]) ? (first?.[name] ?? null) : null));
	const varying = names.map((name, at) => (common[at] === null ? name : undefined));
	return { common, rest: rows.map((row) => varying.map((name) => (name === undefined ? null : row[name]))) };
}

function textOf(columns: Columns) {
	const known = texts.get(columns);
	if (known !== undefined) return known;
	const entries = Object.entries(columns);
	const text = {
		row: entries.map(([name, type], at) => `coalesce(${reads[type]("v", at)}, c${at}) as "${name}"`).join(", "),
		common: entries.map(([, type], at) => `${reads[type]("p", at)} as c${at}`).join(", "),
		sharedRow: entries.map(([name, type], at) => `coalesce(${reads[type]("v", `m${at}`)}, c${at}) as "${name}"`).join(", "),
		sharedCommon: entries.map(([, type], at) => `${reads[type]("p", at)} as c${at}, (q ->> ${at})::int as m${at}`).join(", "),
	};
	texts.set(columns, text);
	return text;
}
