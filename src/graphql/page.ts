import { MusterError } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../lib/cursor.ts";
import { limits } from "./limits.ts";

/** What a store's page function takes, with places in its order instead of opaque cursors. */
export interface PageRequest {
	readonly after?: string;
	readonly before?: string;
	readonly limit: number;
	readonly backward: boolean;
}

interface PageArguments {
	readonly first?: number | null | undefined;
	readonly last?: number | null | undefined;
	readonly after?: string | null | undefined;
	readonly before?: string | null | undefined;
}

/**
 * A Relay connection over a store's page function. BAD_USER_INPUT for a page size past the limit or a cursor that is none of ours.
 * @param place where a row stands in the list's order
 */
export async function connection<T>(
	args: PageArguments,
	place: (row: T) => string,
	page: (request: PageRequest) => Promise<T[]>,
	totalCount: () => Promise<number>,
) {
	for (const name of ["first", "last"] as const) {
		const size = args[name];
		if (size != null && (size < 1 || size > limits.pageMax)) {
			throw new MusterError("BAD_USER_INPUT", `${name} is ${size}: ask for 1 to ${limits.pageMax} at a time`, { fields: [name] });
		}
	}
	const backward = args.first == null && args.last != null;
	const size = args.first ?? args.last ?? limits.pageDefault;
	// One more than asked for tells whether there is another page.
	const rows = await page({
		limit: size + 1,
		backward,
		...(args.after == null ? {} : { after: placeOf("after", args.after) }),
		...(args.before == null ? {} : { before: placeOf("before", args.before) }),
	});
	const more = rows.length > size;
	const shown = rows.slice(0, size);
	if (backward) shown.reverse();
	const edges = shown.map((node) => ({ cursor: encodeCursor(place(node)), node }));
	return {
		edges,
		pageInfo: {
			hasNextPage: backward ? args.before != null : more,
			hasPreviousPage: backward ? more : args.after != null,
			startCursor: edges.at(0)?.cursor ?? null,
			endCursor: edges.at(-1)?.cursor ?? null,
		},
		totalCount,
	};
}

/** The complexity of a connection: its page size times what each row costs. */
export function pageComplexity(args: { readonly first?: number | null | undefined; readonly last?: number | null | undefined }) {
	return { field: 1, multiplier: Math.max(1, Math.min(args.first ?? args.last ?? limits.pageDefault, limits.pageMax)) };
}

function placeOf(name: string, cursor: string): string {
	const place = decodeCursor(cursor);
	if (place === undefined)
		throw new MusterError("BAD_USER_INPUT", `${name} is no cursor of this list: pass a pageInfo cursor back as it came`, {
			fields: [name],
		});
	return place;
}
