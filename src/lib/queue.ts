/** A bounded queue between a producer that never waits and one consumer that does. */
export interface Queue<T> extends AsyncIterable<T> {
	/** Adds an item; false when the queue is full or closed, and then the item was not taken. */
	push(item: T): boolean;
	/** Ends the iteration once what is queued has been read; with an error, at once and with that error. */
	close(error?: Error): void;
	readonly size: number;
}

/** Makes a queue that holds at most `limit` items and never grows past it. */
export function boundedQueue<T>(limit: number): Queue<T> {
	const items: T[] = [];
	let wake: (() => void) | undefined;
	let closed = false;
	let failure: Error | undefined;

	async function* drain(): AsyncGenerator<T> {
		try {
			for (;;) {
				if (failure !== undefined) throw failure;
				const item = items.shift();
				if (item !== undefined) {
					yield item;
				} else if (closed) {
					return;
				} else {
					await new Promise<void>((resolve) => {
						wake = resolve;
					});
				}
			}
		} finally {
			closed = true;
			items.length = 0;
		}
	}

	function rouse(): void {
		wake?.();
		wake = undefined;
	}

	return {
		push(item) {
			if (closed || items.length >= limit) return false;
			items.push(item);
			rouse();
			return true;
		},
		close(error) {
			closed = true;
			failure ??= error;
			rouse();
		},
		get size() {
			return items.length;
		},
		[Symbol.asyncIterator]: () => drain(),
	};
}
