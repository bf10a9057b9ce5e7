import { setImmediate } from "node:timers";

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

/** Results that are handed out in one turn of the event loop. */
const answersAtOnce = 16;

interface Waiting<I, O> {
	readonly item: I;
	readonly resolve: (result: O) => void;
	readonly reject: (error: unknown) => void;
}

/** How batches form. */
export interface BatcherOptions {
	readonly batchMax: number;
	readonly waitingMax: number;
	/** Whether this failure of a batch would meet each of its items alone too. */
	readonly shared: (error: unknown) => boolean;
	/**
	 * Further batches that begin beside those in flight: the second once as many wait as the first number says, the third at the second number. Default
	 * none. Their items do not see what the others do.
	 */
	readonly besideAt?: readonly number[];
}

/**
 * Makes a batcher over `run`, which gets items in order of arrival and returns their results in the same order.
 * A batch that fails as a whole is run again item by item, so that one poisonous item fails alone; not when `shared(error)`
 * says that the failure would meet each of them (the database is away): then all fail with it.
 */
export function batcher<I, O>(run: (items: readonly I[]) => Promise<readonly O[]>, options: BatcherOptions): Batcher<I, O> {
	const { batchMax, waitingMax, besideAt = [] } = options;
	const queue: Waiting<I, O>[] = [];
	let inFlight = 0;
	const mayBegin = () => queue.length > 0 && (inFlight === 0 || queue.length >= (besideAt[inFlight - 1] ?? Number.POSITIVE_INFINITY));

	async function settle(batch: readonly Waiting<I, O>[]): Promise<void> {
		try {
			const results = await run(batch.map(({ item }) => item));
			if (results.length !== batch.length) throw new Error(`A batch of ${batch.length} gave ${results.length} results`);
			answer(batch, results);
		} catch (error) {
			if (batch.length === 1 || options.shared(error)) for (const { reject } of batch) reject(error);
			else for (const one of batch) await settle([one]);
		}
	}

	async function drain(): Promise<void> {
		while (mayBegin()) {
			inFlight++;
			await settle(queue.splice(0, batchMax));
			inFlight--;
		}
	}

	return {
		add(item) {
			if (queue.length >= waitingMax) return Promise.reject(new QueueFull(waitingMax));
			return new Promise<O>((resolve, reject) => {
				queue.push({ item, resolve, reject });
				void drain();
			});
		},
		get waiting() {
			return queue.length;
		},
	};
}

/** Hands results out a few at a time: what their owners do with them must not hold up the next batch, which has begun already. */
function answer<I, O>(batch: readonly Waiting<I, O>[], results: readonly O[], from = 0): void {
	const to = Math.min(from + answersAtOnce, batch.length);
	for (let index = from; index < to; index++) batch[index]?.resolve(results[index] as O);
	if (to < batch.length) setImmediate(() => answer(batch, results, to));
}
