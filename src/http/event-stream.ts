/** Watches over the body of an event stream: ends it on request, and cuts it when its reader takes nothing. */

export interface EventStream {
	readonly body: ReadableStream<Uint8Array>;
	/** Ends the stream with these last events; a reader that does not take them is cut like any other. Idempotent. */
	end(lastEvents: string): void;
}

/**
 * Wraps a body without buffering: the source is read only when the reader asks. Leaving cancels the source.
 * @param stallMs how long one chunk may wait for a reader that takes nothing before the connection is cut; neither runtime does that for a
 * response, and a robot whose link died would hold its subscription for good
 * @param closed called once, however it ended
 */
export function watchEventStream(source: ReadableStream<Uint8Array>, stallMs: number, closed: () => void): EventStream {
	const reader = source.getReader();
	let control: ReadableStreamDefaultController<Uint8Array> | undefined;
	let timer: ReturnType<typeof setTimeout> | undefined;
	let answerPull: (() => void) | undefined;
	let over = false;

	function finish(): boolean {
		if (over) return false;
		over = true;
		answerPull?.();
		closed();
		return true;
	}

	function armStallTimer(controller: ReadableStreamDefaultController<Uint8Array>): void {
		clearTimeout(timer);
		timer = setTimeout(() => {
			controller.error(new Error("The reader of the event stream takes nothing"));
			if (finish()) reader.cancel().catch(() => {});
		}, stallMs);
	}

	async function forward(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
		const { done, value } = await reader.read();
		if (over) return;
		if (done) {
			controller.close();
			finish();
			return;
		}
		controller.enqueue(value);
		armStallTimer(controller);
	}

	const body = new ReadableStream<Uint8Array>(
		{
			start(controller) {
				control = controller;
			},
			pull(controller) {
				clearTimeout(timer);
				if (over) return undefined;
				return new Promise<void>((resolve) => {
					answerPull = resolve;
					forward(controller)
						.catch((error: unknown) => {
							if (finish()) controller.error(error);
						})
						.finally(resolve);
				});
			},
			async cancel(reason) {
				clearTimeout(timer);
				finish();
				await reader.cancel(reason);
			},
		},
		{ highWaterMark: 0 },
	);

	return {
		body,
		end(lastEvents) {
			if (over || control === undefined) return;
			control.enqueue(new TextEncoder().encode(lastEvents));
			control.close();
			// A reader that has the last events gets no further pull, so this timer only ever errors a stream that is still unread.
			armStallTimer(control);
			finish();
			reader.cancel().catch(() => {});
		},
	};
}
