import { boundedQueue } from "../lib/queue.ts";
import type { Unsubscribe } from "./port.ts";

/** Most events that wait for one subscriber. At about 500 bytes each that is half a megabyte a subscriber at worst. */
export const subscriberBufferMax = 1_024;

/**
 * A stream of what `listen` delivers and `pick` lets through, for one subscriber. The producer never waits: when the
 * subscriber's buffer is full, `fellBehind` is called and the stream ends with an error; nothing is skipped silently.
 * Leaving the iteration unsubscribes.
 */
export async function* subscription<TIn, TOut>(options: {
	readonly listen: (listener: (item: TIn) => void) => Unsubscribe;
	readonly pick: (item: TIn) => readonly TOut[];
	readonly fellBehind: () => void;
	readonly bufferMax?: number;
}): AsyncGenerator<TOut> {
	const queue = boundedQueue<TOut>(options.bufferMax ?? subscriberBufferMax);
	const stop = options.listen((item) => {
		for (const picked of options.pick(item)) {
			if (queue.push(picked)) continue;
			queue.close(new Error("The subscriber fell behind"));
			options.fellBehind();
			return;
		}
	});
	try {
		yield* queue;
	} finally {
		stop();
	}
}
