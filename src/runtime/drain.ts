/** Backpressure of one socket, shared by both adapters: who waits for room, and when a peer counts as stalled. */

export interface DrainOptions {
	/** Bytes handed to the runtime that the peer's TCP has not taken yet. */
	buffered(): number;
	/** How often to look; a runtime that calls `progress` itself needs this only as a safety net. */
	readonly pollMs: number;
	/** A peer that takes no byte for this long is stalled. */
	readonly stallMs: number;
	/** Called once when the peer is stalled; the caller ends the socket. */
	stalled(): void;
}

export interface DrainGate {
	/** Counts what was handed over. Undefined while there is room; else it resolves when there is again, and rejects when the gate closes. */
	handed(bytes: number): Promise<void> | undefined;
	/** The runtime says that bytes left. */
	progress(): void;
	/** The socket is gone: everyone who waits is refused. Idempotent. */
	close(): void;
}

/** Room for one socket before its senders wait: larger only adds memory per stalled peer, smaller costs throughput (Deno polls). */
export const roomBytes = 64 * 1024;
/** For senders that want a promise when there is room. */
export const room = Promise.resolve();

/** What a sender gets for a socket that has closed. Expected, never logged. */
export class SocketClosed extends Error {
	constructor() {
		super("The socket is closed");
		this.name = "SocketClosed";
	}
}

/** Opens the gate of one socket. It holds a timer only while somebody waits. */
export function drainGate(options: DrainOptions): DrainGate {
	let handedBytes = 0;
	let takenBytes = 0;
	let quietSince = 0;
	let timer: ReturnType<typeof setTimeout> | undefined;
	let waiting: PromiseWithResolvers<void> | undefined;
	let closed = false;

	function look(): void {
		if (waiting === undefined || closed) return;
		const buffered = options.buffered();
		if (buffered <= roomBytes) {
			release();
			return;
		}
		if (handedBytes - buffered > takenBytes) {
			takenBytes = handedBytes - buffered;
			quietSince = performance.now();
		} else if (performance.now() - quietSince >= options.stallMs) {
			options.stalled();
			close();
			return;
		}
		clearTimeout(timer);
		timer = setTimeout(look, options.pollMs);
	}

	function release(): void {
		clearTimeout(timer);
		waiting?.resolve();
		waiting = undefined;
	}

	function close(): void {
		if (closed) return;
		closed = true;
		clearTimeout(timer);
		waiting?.reject(new SocketClosed());
		waiting = undefined;
	}

	return {
		handed(bytes) {
			if (closed) return Promise.reject(new SocketClosed());
			handedBytes += bytes;
			if (waiting !== undefined) return waiting.promise;
			const buffered = options.buffered();
			if (buffered <= roomBytes) return undefined;
			takenBytes = handedBytes - buffered;
			quietSince = performance.now();
			waiting = Promise.withResolvers<void>();
			// A sender that does not await must not turn a closed socket into an unhandled rejection.
			waiting.promise.catch(() => {});
			timer = setTimeout(look, options.pollMs);
			return waiting.promise;
		},
		progress: look,
		close,
	};
}
