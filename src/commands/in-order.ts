import { outputChunksInFlight } from "../protocol/commands.ts";

/**
 * Which of the stored chunks a reader that waits for `next` may pass on now. Chunks are stored as they arrive, several at a time, so a missing one is
 * waited for; it will not come any more when the command has ended, or when the worker, which has only so many under way, has sent one that far past
 * it. Pure. Chunks before `next` are left out.
 * @param stored ascending by sequence
 */
export function inOrder<T extends { readonly sequence: number }>(stored: readonly T[], next: number, isEnded: boolean): readonly T[] {
	const passed: T[] = [];
	const newest = stored.at(-1)?.sequence ?? -1;
	let expected = next;
	for (const one of stored) {
		if (one.sequence < expected) continue;
		if (one.sequence > expected && !isEnded && newest < expected + outputChunksInFlight) break;
		passed.push(one);
		expected = one.sequence + 1;
	}
	return passed;
}
