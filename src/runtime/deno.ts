import { problem } from "../http/respond.ts";
import { within } from "../lib/within.ts";
import { closeCodes } from "../protocol/codes.ts";
import { boundBody, inFlight, judgeUpgrade } from "./gate.ts";
import { limits } from "./limits.ts";
import type { Listener, Runtime, ServeOptions } from "./port.ts";
import { type Attachment, attachSocket, type CloseSocket, lingeringSockets } from "./web-socket.ts";

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** The part of Deno that this file uses; the project type-checks with bun-types only, and both declare globals. */
declare const Deno: {
	readonly version: { readonly deno: string };
	readonly internal: symbol;
	serve(options: DenoServeOptions, handler: (request: Request, info: DenoServeInfo) => Promise<Response>): DenoServer;
	upgradeWebSocket(request: Request, options: { protocol: string; idleTimeout: number }): { socket: WebSocket; response: Response };
	addSignalListener(signal: Signal, handler: () => void): void;
	exit(code: number): never;
};

interface DenoServeOptions {
	readonly hostname: string;
	readonly port: number;
	readonly signal: AbortSignal;
	onListen(): void;
	onError(error: unknown): Response;
}

interface DenoServeInfo {
	readonly remoteAddr: { readonly hostname?: string };
	/** Settles when the response was sent, or its connection ended. */
	readonly completed: Promise<void>;
}

interface DenoServer {
	readonly addr: { readonly hostname: string; readonly port: number };
	shutdown(): Promise<void>;
	readonly finished: Promise<void>;
}

/** The adapter for Deno. Needs `"unstable": ["no-legacy-abort"]`, else every request's signal aborts on success. */
export const denoRuntime: Runtime = {
	name: "deno",
	version: Deno.version.deno,
	serve,
	onSignal(handler) {
		for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
			try {
				Deno.addSignalListener(signal, () => handler(signal));
			} catch {
				// Windows has no such signal.
			}
		}
	},
	onUncaught(handler) {
		globalThis.addEventListener("error", (event) => {
			event.preventDefault();
			if (!handler(Reflect.get(event, "error"))) Deno.exit(70);
		});
		globalThis.addEventListener("unhandledrejection", (event) => {
			event.preventDefault();
			if (!handler(Reflect.get(event, "reason"))) Deno.exit(70);
		});
	},
	exit: (code) => Deno.exit(code),
};

async function serve(options: ServeOptions): Promise<Listener> {
	const open = new Set<CloseSocket>();
	const lingering = lingeringSockets(limits.lingeringPerPeerMax);
	const cut = new AbortController();
	const flights = inFlight();
	let stopping = false;
	const server = Deno.serve(
		{
			hostname: options.listen.hostname,
			port: options.listen.port,
			signal: cut.signal,
			onListen() {},
			onError(error) {
				// A client that leaves during a slow query is no fault of ours.
				if (!isAbort(error)) options.onFault(error);
				return new Response(null, { status: 500 });
			},
		},
		async (request, info) => {
			if (stopping) return problem(503, "STOPPING", "The server is stopping: try again soon", { connection: "close", "retry-after": "5" });
			flights.add(info.completed);
			return answer(options, { open, lingering }, request, info.remoteAddr.hostname ?? "");
		},
	);
	return {
		address: { hostname: server.addr.hostname, port: server.addr.port },
		async stop(deadlineMs) {
			stopping = true;
			for (const close of open) close(closeCodes.goingAway, "The server is stopping");
			// Not `shutdown` at once: it takes the bodies away from requests in flight ("Cannot read body"), and after it nothing can be cut any more.
			const isIdle = await within(flights.idle(), deadlineMs);
			if (isIdle) await within(server.shutdown(), limits.closeGraceMs);
			else cut.abort();
			await within(server.finished, limits.closeGraceMs);
		},
	};
}

function isAbort(error: unknown): boolean {
	return error instanceof Error && error.name === "AbortError";
}

type Held = Pick<Attachment, "open" | "lingering">;

async function answer(options: ServeOptions, held: Held, request: Request, peerAddress: string): Promise<Response> {
	const verdict = judgeUpgrade(request, options.sockets, peerAddress);
	switch (verdict.kind) {
		case "refuse":
			return verdict.response;
		case "upgrade":
			return upgrade(options, held, request, peerAddress, verdict.subprotocol);
		case "http": {
			const bounded = await boundBody(request, options.bodyBytesMax);
			return bounded instanceof Response ? bounded : options.fetch(bounded, { peerAddress });
		}
	}
}

function upgrade(options: ServeOptions, held: Held, request: Request, peerAddress: string, subprotocol: string): Response {
	const { sockets } = options;
	if (sockets === undefined) return problem(404, "NOT_FOUND", "There are no sockets here");
	if (held.lingering.isFull(peerAddress)) {
		return problem(503, "TOO_MANY_SOCKETS", "Too many connections of this address do not end: let go of them", { "retry-after": "60" });
	}
	// Deno takes the headers back with the upgrade ("Request closed").
	const readable = new Request(request.url, { headers: new Headers(request.headers) });
	let upgraded: { socket: WebSocket; response: Response };
	try {
		upgraded = Deno.upgradeWebSocket(request, { protocol: subprotocol, idleTimeout: sockets.idleSeconds });
	} catch {
		return problem(400, "BAD_UPGRADE", "The WebSocket handshake is incomplete");
	}
	const { socket } = upgraded;
	const peer = { peerAddress, subprotocol };
	attachSocket({
		...held,
		socket,
		sockets,
		peer,
		request: readable,
		cut: () => cutConnection(socket),
		onFault: (error) => options.onFault(error),
	});
	return upgraded.response;
}

/**
 * Drops the TCP connection of a peer that never answered our close frame. Deno has no call for it and would keep the connection
 * for good, so this closes the socket's resource through Deno's internals, as its own idle timer does (ext/websocket,
 * 01_websocket.js). When a later Deno has moved them, nothing happens here and the connection waits for its peer; the
 * conformance suite notices.
 */
function cutConnection(socket: WebSocket): void {
	const idSymbol = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === "[[rid]]");
	const resourceId: unknown = idSymbol === undefined ? undefined : Reflect.get(socket, idSymbol);
	const internals: unknown = Reflect.get(Deno, Deno.internal);
	if (typeof resourceId !== "number" || !isRecord(internals) || !isRecord(internals.core)) return;
	const { tryClose } = internals.core;
	if (typeof tryClose === "function") tryClose(resourceId);
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null;
}
