import * as v from "valibot";

/** Column readers for stores: rows are parsed, not cast. The client hands columns over in camelCase. Times become milliseconds since the epoch, int8 becomes a safe number. */
export const time = v.pipe(
	v.date(),
	v.transform((date) => date.getTime()),
);
export const count = v.pipe(
	v.union([v.bigint(), v.number()]),
	v.transform((value) => Number(value)),
	v.safeInteger(),
);
export const labelMap = v.record(v.string(), v.string());

/** Parses every row of a result; a row of another shape is a fault that names the column. */
export function parseRows<const TSchema extends v.GenericSchema>(schema: TSchema, rows: Iterable<unknown>): v.InferOutput<TSchema>[] {
	return Array.from(rows, (row) => v.parse(schema, row));
}

/** Parses the first row, undefined when there is none. */
export function parseFirst<const TSchema extends v.GenericSchema>(
	schema: TSchema,
	rows: readonly unknown[],
): v.InferOutput<TSchema> | undefined {
	return rows.length === 0 ? undefined : v.parse(schema, rows[0]);
}
