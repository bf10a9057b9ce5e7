/**
 * Where a reader of the outbox stands. Ids are given out before they commit, so a reader that saw 7 may see 6 later:
 * every id below the cursor that was not seen is remembered and asked for again, until it is so old that its transaction
 * cannot be alive any more (a rolled-back transaction leaves such an id for good). The idea is SPIRE's eventTracker.
 */
export interface Tail {
	readonly cursor: number;
	/** Skipped ids and when they were first missed, in milliseconds. */
	readonly skipped: ReadonlyMap<number, number>;
}

/** Most skipped ids that are remembered; beyond it the oldest are given up. 10,000 numbers take about a megabyte. */
export const skippedMax = 10_000;

/** A tail that begins after an id. */
export function startTail(cursor: number): Tail {
	return { cursor, skipped: new Map() };
}

/**
 * The tail after reading `ids` (any order), and those of them that were not seen before, ascending. Pure.
 * @param forgetMs how long a skipped id is asked for again: longer than any transaction may live
 */
export function advance(
	tail: Tail,
	ids: readonly number[],
	nowMs: number,
	forgetMs: number,
): { readonly tail: Tail; readonly fresh: readonly number[] } {
	const fresh = ascending(ids).filter((id) => id > tail.cursor || tail.skipped.has(id));
	const cursor = Math.max(tail.cursor, fresh.at(-1) ?? 0);
	const skipped = new Map<number, number>();
	if (tail.skipped.size > 0) {
		const seen = new Set(fresh);
		for (const [id, since] of tail.skipped) if (!seen.has(id) && nowMs - since < forgetMs) skipped.set(id, since);
	}
	// A jump of millions (a sequence set by hand) must not fill memory: only the newest skippedMax are worth remembering.
	let next = Math.max(tail.cursor + 1, cursor - skippedMax);
	for (const id of fresh) {
		for (; next < id; next++) skipped.set(next, nowMs);
		next = Math.max(next, id + 1);
	}
	while (skipped.size > skippedMax) {
		const oldest = skipped.keys().next().value;
		if (oldest === undefined) break;
		skipped.delete(oldest);
	}
	return { tail: { cursor, skipped }, fresh };
}

/** Each once, in order; as they come from the database they are so already. */
function ascending(ids: readonly number[]): readonly number[] {
	return ids.every((id, at) => at === 0 || id > (ids[at - 1] ?? id)) ? ids : [...new Set(ids)].sort((left, right) => left - right);
}
