import type { Sql } from "./port.ts";

/** How a column of a list is read; `time` comes as milliseconds since the epoch and becomes a timestamptz. */
export type ColumnType = "text" | "boolean" | "int" | "bigint" | "float" | "time" | "jsonb";

/** The columns of a list by the names of its objects' properties, in any order. */
export type Columns = Readonly<Record<string, ColumnType>>;

const reads: Readonly<Record<ColumnType, (at: number) => string>> = {
	text: (at) => `v ->> ${at}`,
	boolean: (at) => `(v ->> ${at})::boolean`,
	int: (at) => `(v ->> ${at})::int`,
	bigint: (at) => `(v ->> ${at})::bigint`,
	float: (at) => `(v ->> ${at})::double precision`,
	time: (at) => `to_timestamp((v ->> ${at})::double precision / 1000.0)`,
	// JSON's null is NULL.
	jsonb: (at) => `nullif(v -> ${at}, 'null')`,
};

/** Texts by their columns, so that the same statement is the same text. */
const texts = new WeakMap<Columns, string>();

/**
 * A list of objects as a table to select from, as one JSON parameter: `from ${recordset(tx, rows, columns)} as r`. Every object has all of the
 * columns; others are left out. Rows go as arrays and not as objects, because jsonb_to_recordset takes twice as long (bench/README.md).
 */
export function recordset<Row extends object>(sql: Sql, rows: readonly Row[], columns: { readonly [Name in keyof Row]?: ColumnType }) {
	const names = Object.keys(columns) as (keyof Row)[];
	return sql`(select ${sql.unsafe(textOf(columns as Columns))} from jsonb_array_elements(${sql.json(rows.map((row) => names.map((name) => row[name])) as never)}) as e (v))`;
}

function textOf(columns: Columns): string {
	const known = texts.get(columns);
	if (known !== undefined) return known;
	const text = Object.entries(columns)
		.map(([name, type], at) => `${reads[type](at)} as "${name}"`)
		.join(", ");
	texts.set(columns, text);
	return text;
}
