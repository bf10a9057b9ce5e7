/** Rows of several tables that one statement writes, each value sent once: an enrollment's worker id stands in six of its eight rows. */

/** Where a table's columns are: a value that all its rows have, or a place in the rows that all tables share. One of the two is null. */
export interface Places {
	readonly common: readonly unknown[];
	readonly places: readonly (number | null)[];
}

/** Gathers what tables of equal length have in their rows. */
export interface SharedRows {
	/** Takes a table's rows in. Undefined when they are more or fewer than those of the first table: they are to be sent by themselves. */
	take<Row extends object>(rows: readonly Row[], names: readonly (keyof Row)[]): Places | undefined;
	/** What was taken, row by row; undefined when nothing was. */
	rows(): readonly (readonly unknown[])[] | undefined;
}

/** Starts with nothing. Pure but for what it gathers. */
export function sharedRows(): SharedRows {
	const columns: (readonly unknown[])[] = [];
	/** By their first value, which tells almost all of them apart. */
	const byFirst = new Map<unknown, number[]>();
	let length: number | undefined;

	function placeOf(values: readonly unknown[]): number {
		const alike = byFirst.get(values[0]) ?? [];
		const known = alike.find((at) => columns[at]?.every((value, row) => value === values[row]));
		if (known !== undefined) return known;
		byFirst.set(values[0], [...alike, columns.length]);
		return columns.push(values) - 1;
	}

	return {
		take(rows, names) {
			length ??= rows.length;
			if (rows.length !== length) return undefined;
			const common: unknown[] = [];
			const places: (number | null)[] = [];
			for (const name of names) {
				const first = rows[0]?.[name];
				const isCommon = rows.every((row) => row[name] === first);
				common.push(isCommon ? (first ?? null) : null);
				places.push(isCommon ? null : placeOf(rows.map((row) => row[name])));
			}
			return { common, places };
		},
		rows: () => (length === undefined ? undefined : Array.from({ length }, (_, row) => columns.map((column) => column[row]))),
	};
}
