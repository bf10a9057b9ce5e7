/**
 * Which of the stored chunks a reader that waits for `next` may pass on now: those that follow one another. Chunks are stored as they arrive, several at
 * a time, so a missing one is waited for, unless `skips`: then it will not come any more. Pure. Chunks before `next` are left out.
 * @param stored ascending by sequence
 */
export function inOrder<T extends { readonly sequence: number }>(stored: readonly T[], next: number, skips: boolean): readonly T[] {
	const passed: T[] = [];
	let expected = next;
	for (const one of stored) {
		if (one.sequence < expected) continue;
		if (one.sequence > expected && !skips) break;
		passed.push(one);
		expected = one.sequence + 1;
	}
	return passed;
}
