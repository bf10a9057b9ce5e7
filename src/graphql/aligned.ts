/** Rows in the order of the ids that asked for them, null where there is none: what a data loader returns. */
export function aligned<T>(ids: readonly string[], rows: readonly T[], idOf: (row: T) => string): (T | null)[] {
	const byId = new Map(rows.map((row) => [idOf(row), row]));
	return ids.map((id) => byId.get(id) ?? null);
}
