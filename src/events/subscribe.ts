import { boundedQueue } from "../lib/queue.ts";
import type { Metrics } from "../metrics/port.ts";
import type { Unsubscribe } from "./port.ts";

/** Most events that wait for one subscriber. At about 500 bytes each that is half a megabyte a subscriber at worst. */
export const subscriberBufferMax = 1_024;

/** What a subscription needs of its operation. */
export interface Subscriber {
	/** Closes the transport with the documented code. */
	fellBehind(): void;
	/** Aborted when the reader has gone. */
	readonly signal: AbortSignal;
	readonly deps: { readonly metrics: Metrics };
}

/**
 * A stream of what `listen` delivers and `pick` lets through, for one subscriber. The producer never waits: when the
 * subscriber's buffer is full, `fellBehind` is called and the stream ends with an error; nothing is skipped silently.
 * Leaving the iteration, or the signal, unsubscribes.
 */
export async function* subscription<TIn, TOut>(
	subscriber: Subscriber,
	listen: (listener: (item: TIn) => void) => Unsubscribe,
	pick: (item: TIn) => readonly TOut[],
	bufferMax = subscriberBufferMax,
): AsyncGenerator<TOut> {
	const { signal, deps } = subscriber;
	const queue = boundedQueue<TOut>(bufferMax);
	const leave = () => queue.close();
	const stop = listen((item) => {
		for (const picked of pick(item)) {
			if (queue.push(picked)) continue;
			queue.close(new Error("The subscriber fell behind"));
			subscriber.fellBehind();
			return;
		}
	});
	signal.addEventListener("abort", leave, { once: true });
	deps.metrics.subscribers(1);
	try {
		if (!signal.aborted) yield* queue;
	} finally {
		signal.removeEventListener("abort", leave);
		deps.metrics.subscribers(-1);
		stop();
	}
}
