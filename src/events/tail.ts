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
	const fresh = [...new Set(ids)].filter((id) => id > tail.cursor || tail.skipped.has(id)).sort((left, right) => left - right);
	const seen = new Set(fresh);
	const cursor = Math.max(tail.cursor, fresh.at(-1) ?? 0);
	const skipped = new Map<number, number>();
	for (const [id, since] of tail.skipped) {
		if (!seen.has(id) && nowMs - since < forgetMs) skipped.set(id, since);
	}
	// A jump of millions (a sequence set by hand) must not fill memory: only the newest skippedMax are worth remembering.
	for (let id = Math.max(tail.cursor + 1, cursor - skippedMax); id < cursor; id++) {
		if (!seen.has(id)) skipped.set(id, nowMs);
	}
	while (skipped.size > skippedMax) {
		const oldest = skipped.keys().next().value;
		if (oldest === undefined) break;
		skipped.delete(oldest);
	}
	return { tail: { cursor, skipped }, fresh };
}
