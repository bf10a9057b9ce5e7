/** Gathers what arrives while a batch is in flight into the next one: no timer, no added wait; a batch of one is the same code. */
export interface Batcher<I, O> {
	/** The item's result. Rejects with QueueFull when too many wait. */
	add(item: I): Promise<O>;
	readonly waiting: number;
}

/** Too many items wait already; this one was not taken. */
export class QueueFull extends Error {
	constructor(limit: number) {
		super(`${limit} requests wait already`);
		this.name = "QueueFull";
	}
}

interface Waiting<I, O> {
	readonly item: I;
	readonly resolve: (result: O) => void;
	readonly reject: (error: unknown) => void;
}

/**
 * Makes a batcher over `run`, which gets items in order of arrival and returns their results in the same order.
 * A batch that fails as a whole is run again item by item, so that one poisonous item fails alone; not when `shared(error)`
 * says that the failure would meet each of them (the database is away): then all fail with it.
 */
export function batcher<I, O>(
	run: (items: readonly I[]) => Promise<readonly O[]>,
	options: { readonly batchMax: number; readonly waitingMax: number; readonly shared: (error: unknown) => boolean },
): Batcher<I, O> {
	const queue: Waiting<I, O>[] = [];
	let busy = false;

	async function settle(batch: readonly Waiting<I, O>[]): Promise<void> {
		try {
			const results = await run(batch.map(({ item }) => item));
			if (results.length !== batch.length) throw new Error(`A batch of ${batch.length} gave ${results.length} results`);
			batch.forEach(({ resolve }, index) => {
				resolve(results[index] as O);
			});
		} catch (error) {
			if (batch.length === 1 || options.shared(error)) for (const { reject } of batch) reject(error);
			else for (const one of batch) await settle([one]);
		}
	}

	async function drain(): Promise<void> {
		busy = true;
		while (queue.length > 0) await settle(queue.splice(0, options.batchMax));
		busy = false;
	}

	return {
		add(item) {
			if (queue.length >= options.waitingMax) return Promise.reject(new QueueFull(options.waitingMax));
			return new Promise<O>((resolve, reject) => {
				queue.push({ item, resolve, reject });
				if (!busy) void drain();
			});
		},
		get waiting() {
			return queue.length;
		},
	};
}
