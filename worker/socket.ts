import { createClient } from "graphql-ws/client";
import * as v from "valibot";
import { type HeartbeatReply, heartbeatDocument, heartbeatReply } from "../src/protocol/operations.ts";
import { protocolVersion } from "../src/protocol/version.ts";
import type { Endpoint } from "./address.ts";
import type { Vitals } from "./facts.ts";
import { reasonOf } from "./fatal.ts";
import type { Credential } from "./identity.ts";

/** What a socket tells the one who opened it. Nothing is told after `closed`, which comes exactly once unless `close` was called first. */
export interface SocketListener {
	/** The server took the credential. */
	opened(): void;
	/** The connection ended, or never came about. `upgradeStatus`: the HTTP status when the server refused to upgrade. */
	closed(end: { readonly code: number; readonly why: string; readonly upgradeStatus: number | undefined }): void;
	/** A ping went out; a living server answers with a pong. */
	pinged(): void;
	ponged(): void;
}

/** What a heartbeat carries. */
export interface HeartbeatInput extends Vitals {
	/** Random per start of the worker. */
	readonly bootId: string;
	/** Counts from 1 within a boot. */
	readonly sequence: number;
}

/** One connection of graphql-transport-ws; it never reconnects by itself. */
export interface Socket {
	/** Sends a heartbeat; rejects when the server refuses it or the connection ends. */
	beat(input: HeartbeatInput): Promise<HeartbeatReply>;
	/** Sends any other request and returns its data; rejects with `Refused` when the server answers with an error, with another error when the connection ends. */
	ask(document: string, variables: Readonly<Record<string, unknown>>): Promise<unknown>;
	/** Subscribes; the data of each message is told, and the end once: with why when the server refused, without when the connection went. */
	listen(
		document: string,
		listener: { readonly next: (data: unknown) => void; readonly ended: (refused: Refused | undefined) => void },
	): void;
	/** Cuts the connection without asking the other side, which may be gone; `closed` is told. */
	terminate(): void;
	/** Closes politely; resolves once closed. `closed` is not told. */
	close(): Promise<void>;
}

/** The server's answer was an error: of this code, or of none. Asking the same again on the same connection brings the same, unless the code is that of a fault. */
export class Refused extends Error {
	override readonly name = "Refused";
	readonly code: string | undefined;

	constructor(message: string, code: string | undefined) {
		super(message);
		this.code = code;
	}
}

export type OpenSocket = (endpoint: Endpoint, credential: Credential, nodeName: string | undefined, listener: SocketListener) => Socket;

const pingEveryMs = 15_000;
const ackTimeoutMs = 15_000;

/** Opens a connection with the runtime's own WebSocket and says who is there (DESIGN.md, Steady state). */
export const openSocket: OpenSocket = (endpoint, credential, nodeName, listener) => {
	let ended = false;
	let raw: CuttableSocket | undefined;
	let whenClosed: (() => void) | undefined;

	function end(code: number, why: string, upgradeStatus?: number): void {
		if (ended) return;
		ended = true;
		whenClosed?.();
		listener.closed({ code, why, upgradeStatus });
		// A connection that was still opening has nothing to dispose of, and says so by rejecting.
		Promise.resolve(client.dispose()).catch(() => {});
	}

	const client = createClient({
		url: endpoint.ws,
		...(endpoint.proxy === undefined ? {} : { webSocketImpl: socketThrough(endpoint.proxy) }),
		connectionParams: { workerId: credential.workerId, apiKey: credential.apiKey.reveal(), nodeName, protocolVersion },
		lazy: false,
		retryAttempts: 0,
		keepAlive: pingEveryMs,
		connectionAckWaitTimeout: ackTimeoutMs,
		// Everything this could tell was told by `closed` and `error` below.
		onNonLazyError: () => {},
		on: {
			opened: (socket) => {
				raw = socket as CuttableSocket;
			},
			connected: () => {
				if (!ended) listener.opened();
			},
			ping: (received) => {
				if (!received && !ended) listener.pinged();
			},
			pong: (received) => {
				if (received && !ended) listener.ponged();
			},
			error: (error) => {
				const why = describe(error);
				const status = /101 status code: ?(\d{3})/.exec(why)?.[1];
				end(1006, `Cannot connect to ${endpoint.ws}: ${why}`, status === undefined ? undefined : Number(status));
			},
			closed: (event) => {
				const { code, reason } = v.parse(closeEvent, event);
				end(
					code,
					reason === "" ? `Connection to ${endpoint.ws} closed (${code})` : `Connection to ${endpoint.ws} closed (${code} ${reason})`,
				);
			},
		},
	});

	return {
		beat: async (input) => {
			const data = await request(client, heartbeatDocument, { input }).catch((error: unknown) => {
				throw error instanceof Refused ? new Error(`Heartbeat refused: ${error.message}`, { cause: error }) : error;
			});
			const parsed = v.safeParse(v.object({ heartbeat: heartbeatReply }), data);
			if (parsed.success) return parsed.output.heartbeat;
			throw new Error("Heartbeat refused: the reply is not one this version understands");
		},
		ask: (document, variables) => request(client, document, variables),
		listen(document, { next, ended }) {
			client.subscribe<unknown>(
				{ query: document },
				{
					next: ({ data, errors }) => (errors === undefined ? next(data) : ended(refusal(errors))),
					error: (error) => ended(Array.isArray(error) ? refusal(error) : undefined),
					complete: () => ended(undefined),
				},
			);
		},
		terminate() {
			raw?.terminate?.();
			end(1006, `Cannot hear from ${endpoint.ws} any more`);
		},
		close() {
			if (ended) return Promise.resolve();
			const closed = new Promise<void>((resolve) => {
				whenClosed = resolve;
			});
			listener = mute;
			if (raw === undefined) end(1000, "");
			else raw.close(1000, "Normal Closure");
			return closed;
		},
	};
};

/** The runtime's WebSocket, going by a proxy: Bun takes it beside the subprotocols (measured in ARCHITECTURE.md, The mesh). */
function socketThrough(proxy: string): unknown {
	return class extends WebSocket {
		constructor(url: string, protocols: string) {
			super(url, { protocols, proxy } as unknown as string);
		}
	};
}

interface CuttableSocket {
	close(code: number, reason: string): void;
	/** Bun's own: close() on a dead peer waits for an answer that does not come. */
	terminate?(): void;
}

const closeEvent = v.object({ code: v.fallback(v.number(), 1006), reason: v.fallback(v.string(), "") });
const mute: SocketListener = { opened() {}, closed() {}, pinged() {}, ponged() {} };

function request(client: ReturnType<typeof createClient>, query: string, variables: Readonly<Record<string, unknown>>): Promise<unknown> {
	return new Promise((resolve, reject) => {
		client.subscribe<unknown>(
			{ query, variables },
			{
				next: ({ data, errors }) => (errors === undefined ? resolve(data) : reject(refusal(errors))),
				error: (error) => reject(Array.isArray(error) ? refusal(error) : new Error(describe(error))),
				complete: () => reject(new Error("The request ended without a reply")),
			},
		);
	});
}

const errorShape = v.object({ message: v.string(), extensions: v.optional(v.object({ code: v.optional(v.string()) })) });

function refusal(errors: readonly unknown[]): Refused {
	const parsed = v.safeParse(errorShape, errors[0]);
	return parsed.success ? new Refused(parsed.output.message, parsed.output.extensions?.code) : new Refused(describe(errors), undefined);
}

/** One line about what graphql-ws hands out: an Error, a close event, an error event, or a list of GraphQL errors. */
function describe(error: unknown): string {
	if (Array.isArray(error)) return describe(error[0]);
	const parsed = v.safeParse(v.object({ message: v.pipe(v.string(), v.nonEmpty()) }), error);
	if (parsed.success) return reasonOf(new Error(parsed.output.message));
	const closed = v.safeParse(v.object({ code: v.number(), reason: v.string() }), error);
	return closed.success ? `connection closed (${closed.output.code} ${closed.output.reason})` : "connection failed";
}
