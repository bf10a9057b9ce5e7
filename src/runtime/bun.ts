import process from "node:process";
import { problem } from "../http/respond.ts";
import { within } from "../lib/within.ts";
import { closeCodes } from "../protocol/codes.ts";
import { type DrainGate, drainGate, room, roomBytes, SocketClosed } from "./drain.ts";

import { boundBody, closeReason, judgeUpgrade } from "./gate.ts";
import type { Listener, Runtime, ServeOptions, ServerSocket, SocketSession } from "./port.ts";
import { limits } from "./limits.ts";

type Sockets = NonNullable<ServeOptions["sockets"]>;

/** What Bun keeps for us beside each WebSocket. */
interface SocketState {
	readonly peerAddress: string;
	readonly subprotocol: string;
	/** Until the socket is open: ten thousand idle sockets need not hold ten thousand requests. */
	request: Request | undefined;
	session?: SocketSession;
	gate?: DrainGate;
	closing?: ReturnType<typeof setTimeout>;
}

type BunSocket = Bun.ServerWebSocket<SocketState>;

/** The adapter for Bun. */
export const bunRuntime: Runtime = {
	name: "bun",
	version: Bun.version,
	serve,
	onSignal(handler) {
		for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => handler(signal));
	},
	onUncaught(handler) {
		// Bun lets a throw inside setImmediate pass with exit 0 unless both handlers are there (bun#38522).
		const fatal = (error: unknown) => {
			if (!handler(error)) process.exit(70);
		};
		process.on("uncaughtException", fatal);
		process.on("unhandledRejection", fatal);
	},
	exit: (code) => process.exit(code),
};

async function serve(options: ServeOptions): Promise<Listener> {
	const open = new Set<BunSocket>();
	const server = Bun.serve<SocketState>({
		hostname: options.listen.hostname,
		port: options.listen.port,
		// The default of 10 s would cut event streams, which ping every 12 s.
		idleTimeout: limits.httpIdleSeconds,
		// Ours counts (gate.ts) and answers in JSON; a body that nobody reads is not taken in: 400 MB sent, 1 MB of memory seen.
		maxRequestBodySize: Number.MAX_SAFE_INTEGER,
		development: false,
		// Production mode would share the port: a second server would start beside the first and take half of its requests.
		reusePort: false,
		fetch: (request, bun) => answer(options, request, bun),
		error(error) {
			options.onFault(error);
			return new Response(null, { status: 500 });
		},
		...(options.sockets === undefined
			? { websocket: { message() {} } }
			: { websocket: socketHandler(options.sockets, open, (error) => options.onFault(error)) }),
	});
	return {
		address: { hostname: server.hostname ?? options.listen.hostname, port: server.port ?? options.listen.port },
		async stop(deadlineMs) {
			const stopped = server.stop();
			for (const socket of open) closeSocket(socket, closeCodes.goingAway, "The server is stopping");
			if (!(await within(stopped, deadlineMs))) await within(server.stop(true), limits.closeGraceMs);
		},
	};
}

async function answer(options: ServeOptions, request: Request, server: Bun.Server<SocketState>): Promise<Response | undefined> {
	const peerAddress = server.requestIP(request)?.address ?? "";
	const verdict = judgeUpgrade(request, options.sockets, peerAddress);
	switch (verdict.kind) {
		case "refuse":
			return verdict.response;
		case "upgrade": {
			const { subprotocol } = verdict;
			const data = { peerAddress, subprotocol, request };
			if (server.upgrade(request, { data, headers: { "sec-websocket-protocol": subprotocol } })) return undefined;
			return problem(400, "BAD_UPGRADE", "The WebSocket handshake is incomplete");
		}
		case "http": {
			const bounded = await boundBody(request, options.bodyBytesMax);
			return bounded instanceof Response ? bounded : options.fetch(bounded, { peerAddress });
		}
	}
}

function socketHandler(sockets: Sockets, open: Set<BunSocket>, onFault: (error: unknown) => void): Bun.WebSocketHandler<SocketState> {
	return {
		// Bun pings by itself and closes a peer that stays silent this long.
		idleTimeout: sockets.idleSeconds,
		sendPings: true,
		maxPayloadLength: sockets.frameBytesMax,
		backpressureLimit: limits.sendBufferBytesMax,
		closeOnBackpressureLimit: false,
		perMessageDeflate: false,
		open(ws) {
			open.add(ws);
			const { request } = ws.data;
			if (request === undefined) return;
			ws.data.request = undefined;
			ws.data.session = sockets.open(new BunServerSocket(ws, sockets.drainTimeoutMs), request);
		},
		message(ws, message) {
			if (typeof message === "string") ws.data.session?.message(message);
			else closeSocket(ws, 1003, "Text frames only");
		},
		drain(ws) {
			ws.data.gate?.progress();
		},
		close(ws, code, reason) {
			open.delete(ws);
			clearTimeout(ws.data.closing);
			ws.data.gate?.close();
			// Bun calls this from within `ws.close`; a resolver that closes its own socket must not be re-entered.
			queueMicrotask(() => ws.data.session?.closed(code, reason));
		},
		error: onFault,
	};
}

/** A class: of closures each of ten thousand idle sockets would hold its own. */
class BunServerSocket implements ServerSocket {
	private readonly ws: BunSocket;
	private readonly stallMs: number;

	constructor(ws: BunSocket, stallMs: number) {
		this.ws = ws;
		this.stallMs = stallMs;
	}

	get peerAddress(): string {
		return this.ws.data.peerAddress;
	}

	get subprotocol(): string {
		return this.ws.data.subprotocol;
	}

	send(text: string): Promise<void> {
		return this.push([text]) ?? room;
	}

	push(texts: readonly string[]): Promise<void> | undefined {
		const { ws } = this;
		if (ws.data.closing !== undefined) return Promise.reject(new SocketClosed());
		let bytes = 0;
		let taken = true;
		const send = () => {
			for (const text of texts) {
				bytes += text.length;
				taken &&= ws.send(text) !== 0;
			}
		};
		if (texts.length === 1) send();
		else ws.cork(send);
		if (taken) {
			return ws.data.gate === undefined && ws.getBufferedAmount() <= roomBytes ? undefined : gateOf(ws, this.stallMs).handed(bytes);
		}
		// Dropped: the peer has left, or its buffer is full of frames that nobody awaited. Never go on with a gap.
		this.close(closeCodes.fellBehind, "The peer reads too slowly");
		return Promise.reject(new SocketClosed());
	}

	close(code: number, reason: string): void {
		closeSocket(this.ws, code, reason);
	}
}

/** Made when a peer first falls behind: most never do, and ten thousand idle ones would hold one each. */
function gateOf(ws: BunSocket, stallMs: number): DrainGate {
	ws.data.gate ??= drainGate({
		buffered: () => ws.getBufferedAmount(),
		pollMs: limits.drainSafetyPollMs,
		stallMs,
		stalled: () => closeSocket(ws, closeCodes.fellBehind, "The peer reads too slowly"),
	});
	return ws.data.gate;
}

/** Sends the close frame, and cuts the connection when it has not ended after a grace. Idempotent. */
function closeSocket(ws: BunSocket, code: number, reason: string): void {
	if (ws.data.closing !== undefined) return;
	ws.data.gate?.close();
	ws.data.closing = setTimeout(() => ws.terminate(), limits.closeGraceMs);
	ws.close(code, closeReason(reason));
}
