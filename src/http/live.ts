import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute } from "graphql";
import type { Plugin } from "graphql-yoga";
import { type LeaveSignal, Leaving } from "../lib/leaving.ts";

/**
 * Runs subscriptions so that they end when asked and see the present. Two things differ from the stock engine. Leaving a stream
 * aborts `context.signal` and is answered at once: a generator that waits for its next event cannot be returned from (the
 * request queues behind the wait), so the resolver must listen to the signal. And each event is resolved with a context object of its
 * own, so that loaders, which remember by context, do not serve an hour-old row.
 */
export function liveSubscriptions(): Plugin {
	return {
		onSubscribe({ setSubscribeFn }) {
			setSubscribeFn((args: ExecutionArgs) => subscribeLive(args));
		},
	};
}

/** Runs one subscription so; every result goes through `finish`, the one of a refusal too. Throws what the resolver threw before it began. */
export async function subscribeLive(
	args: ExecutionArgs,
	finish: (result: ExecutionResult) => ExecutionResult = (result) => result,
): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> {
	const left = new Leaving();
	const contextValue = derived(args.contextValue, left);
	const source = await createSourceEventStream({ ...args, contextValue });
	if (!(Symbol.asyncIterator in source)) return finish(source);
	return resultsOf(source[Symbol.asyncIterator](), left, async (event) =>
		finish(await execute({ ...args, rootValue: event, contextValue: derived(args.contextValue, left) })),
	);
}

/** A fresh identity over the same content. */
function derived(context: unknown, signal: LeaveSignal): object {
	return typeof context === "object" && context !== null ? { ...context, signal } : { signal };
}

function resultsOf(
	source: AsyncIterator<unknown>,
	left: Leaving,
	resolve: (event: unknown) => Promise<ExecutionResult>,
): AsyncIterableIterator<ExecutionResult> {
	const done: IteratorReturnResult<undefined> = { done: true, value: undefined };
	let ended = false;
	// Answers the reader that waits in `next` when the stream is left; one slot, since readers ask one at a time.
	let answerWaiting: (() => void) | undefined;

	function leave(): void {
		if (ended) return;
		ended = true;
		left.abort();
		answerWaiting?.();
		// Not awaited, see above. A source that fails while it cleans up has nobody left to tell.
		Promise.resolve(source.return?.()).catch(() => {});
	}

	async function step(): Promise<IteratorResult<ExecutionResult>> {
		try {
			const { done: exhausted, value } = await source.next();
			if (exhausted !== true && !ended) return { done: false, value: await resolve(value) };
			leave();
			return done;
		} catch (error) {
			// The reader gets the error, not the end.
			answerWaiting = undefined;
			leave();
			throw error;
		}
	}

	return {
		next() {
			if (ended) return Promise.resolve(done);
			return new Promise((answer, fail) => {
				answerWaiting = () => answer(done);
				step().then(answer, fail);
			});
		},
		async return() {
			leave();
			return done;
		},
		async throw(error) {
			leave();
			throw error;
		},
		[Symbol.asyncIterator]() {
			return this;
		},
	};
}
