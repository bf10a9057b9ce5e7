/** What the transport knows about one operation; the GraphQL context is this and what `createContext` adds. */

import type { LeaveSignal } from "../lib/leaving.ts";

/** What a resolver may say about the HTTP reply. It counts when the operation had one root field, and not on a socket. */
export interface HttpReply {
	/** The status in place of 200. */
	status?: number | undefined;
	/** Added to the reply, for example `retry-after`. */
	readonly headers: Record<string, string>;
}

/** An open socket as the rest of the program may hold it. */
export interface SocketHandle {
	/** Closes with one of `closeCodes`. Idempotent; `onClose` follows. */
	close(code: number, reason: string): void;
	readonly sourceAddress: string;
}

/** Facts of the operation at hand. On a socket all operations share one, but for `requestId`, `http` and `signal`. */
export interface OperationScope<Principal> {
	/** The HTTP request; on a socket one that says nothing, since what it was opened with was asked when it was let in. */
	readonly request: Request;
	/** Server-chosen; in the log, in masked errors and in the reply's X-Request-Id. */
	readonly requestId: string;
	/** Who asks: the peer, or what a trusted proxy says it is. */
	readonly sourceAddress: string;
	/** Who `connection_init` proved to be; undefined over HTTP, where `createContext` looks at the request's headers. */
	readonly principal: Principal | undefined;
	/** The socket the operation came on; undefined over HTTP. */
	readonly socket: SocketHandle | undefined;
	readonly http: HttpReply;
	/** Aborted when a subscription's reader has gone or asked for its end. Never aborted for queries and mutations. */
	readonly signal: LeaveSignal;
	/** The subscriber reads slower than events come: a socket closes with `closeCodes.fellBehind`, an event stream ends with an error event. Idempotent. */
	fellBehind(): void;
}
