import type { ListenAddress } from "../lib/address.ts";

/** What a runtime adapter gives the program: listeners, sockets, signals. Two real ones: bun.ts and deno.ts. No other file names a runtime. */

/** Facts of one HTTP request that the Request object does not carry. */
export interface RequestInfo {
	/** The peer's address as the socket sees it, without port: `192.0.2.7` or `2001:db8::1`. */
	readonly peerAddress: string;
}

/** An open WebSocket as the protocol code sees it. */
export interface ServerSocket {
	/**
	 * Sends one text frame. The promise is settled when the runtime has room for the next one, so a caller that awaits it
	 * has backpressure; it rejects with a `SocketClosed` error (by `name`) when the socket closed or the peer took no bytes for `drainTimeoutMs`.
	 */
	send(text: string): Promise<void>;
	/**
	 * Sends frames as `send` does, together where the runtime can, and says undefined when there is room for more: one text for thousands of
	 * sockets costs no promise for each.
	 */
	push(texts: readonly string[]): Promise<void> | undefined;
	/** Starts the closing handshake; a peer that never answers is dropped after a few seconds. */
	close(code: number, reason: string): void;
	readonly peerAddress: string;
	readonly subprotocol: string;
}

/** What the protocol code gives the runtime for one open socket. */
export interface SocketSession {
	message(text: string): void;
	/** Once, however it ended; never from within `ServerSocket.close`. */
	closed(code: number, reason: string): void;
}

export interface ServeOptions {
	readonly listen: ListenAddress;
	fetch(request: Request, info: RequestInfo): Response | Promise<Response>;
	/** Left out: no WebSocket on this listener. */
	readonly sockets?: {
		/** Path that upgrades. */
		readonly path: string;
		/** Picks a subprotocol from the client's offers; undefined refuses the upgrade with 400. */
		subprotocol(offered: readonly string[]): string | undefined;
		/** Whether one more socket of this peer may open; false answers 503. The request tells who is behind a proxy. */
		admit(request: Request, peerAddress: string): boolean;
		/** `request` is the one that was upgraded; kept by the session it would be a kilobyte a socket. */
		open(socket: ServerSocket, request: Request): SocketSession;
		/** Longest text frame, in bytes; a longer one closes 1009. */
		readonly frameBytesMax: number;
		/** A peer silent for this long, pings unanswered, is closed. */
		readonly idleSeconds: number;
		/** A peer that takes no bytes for this long is closed. */
		readonly drainTimeoutMs: number;
	};
	/** Longest request body, in bytes; longer ones are answered 413 and not read. */
	readonly bodyBytesMax: number;
	/** A fault that escaped `fetch`; the client gets an empty 500. */
	onFault(error: unknown): void;
}

/** An open listener. */
export interface Listener {
	/** The real address, with the port the system chose. */
	readonly address: ListenAddress;
	/**
	 * Takes nothing new (the connection is refused, or the request answered 503), waits for requests in flight up to the deadline,
	 * then cuts what is left. Sockets are closed 1001. Event streams are the program's to end first.
	 */
	stop(deadlineMs: number): Promise<void>;
}

export interface Runtime {
	readonly name: "bun" | "deno";
	readonly version: string;
	serve(options: ServeOptions): Promise<Listener>;
	/** Calls back on SIGINT, SIGTERM and (where there is one) SIGHUP. */
	onSignal(handler: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void): void;
	/** Last resort for faults that no promise carries. Return true when the fault is known and survivable; otherwise the process logs and exits 70. */
	onUncaught(handler: (error: unknown) => boolean): void;
	exit(code: number): never;
}
