/** A webhook's receiver: a real HTTP server that writes down what it gets and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { Webhook } from "standardwebhooks";

export interface Received {
	readonly path: string;
	readonly headers: IncomingHttpHeaders;
	readonly body: string;
	/** The name asked for in the TLS handshake. */
	readonly serverName: string | undefined;
}

/** What a path answers: a status with headers, or nothing at all until `release`. */
export type Reply = { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string } | "hang";

export interface Receiver {
	readonly port: number;
	/** A path that no other test uses; its first answers are these in turn, then the last one for good (200 when none is given). */
	path(...replies: readonly Reply[]): string;
	urlOf(path: string): string;
	received(path: string): readonly Received[];
	/** Requests that wait for their answer now. */
	hanging(path: string): number;
	/** Answers all that hang with 200, and lets nothing hang from now on. */
	release(path: string): void;
	close(): Promise<void>;
}

/** Opens one on a free port of 127.0.0.1; with a key and certificate (PEM) it speaks TLS. */
export async function openReceiver(tls?: { readonly key: string; readonly cert: string }): Promise<Receiver> {
	const log: Received[] = [];
	const scripts = new Map<string, Reply[]>();
	const held = new Map<string, Set<ServerResponse>>();
	let paths = 0;

	const listener: RequestListener = (request, response) => {
		const path = request.url ?? "";
		let body = "";
		request.setEncoding("utf8").on("data", (text: string) => {
			body += text;
		});
		request.on("end", () => {
			const { servername } = request.socket as TLSSocket;
			log.push({ path, headers: request.headers, body, serverName: typeof servername === "string" ? servername : undefined });
			const script = scripts.get(path) ?? [];
			const reply = (script.length > 1 ? script.shift() : script[0]) ?? { status: 200 };
			if (reply === "hang") {
				const waiting = held.get(path) ?? new Set();
				held.set(path, waiting.add(response));
				response.on("close", () => waiting.delete(response));
				return;
			}
			response.writeHead(reply.status, reply.headers ?? {});
			response.end(reply.body ?? "");
		});
	};
	const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
	await new Promise<void>((resolve) => {
		server.listen(0, "127.0.0.1", resolve);
	});
	const { port } = server.address() as AddressInfo;
	return {
		port,
		path(...replies) {
			paths++;
			const path = `/hook-${paths}?token=t${paths}`;
			scripts.set(path, [...replies]);
			return path;
		},
		urlOf: (path) => `http${tls === undefined ? "" : "s"}://127.0.0.1:${port}${path}`,
		received: (path) => log.filter((one) => one.path === path),
		hanging: (path) => held.get(path)?.size ?? 0,
		release(path) {
			scripts.set(path, []);
			for (const response of held.get(path) ?? []) response.end();
		},
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

/** The message, once its signature was found right; throws when it is wrong. */
export function verified(secret: string, { headers, body }: Received) {
	// biome-ignore lint/suspicious/noExplicitAny: a message of another shape fails the assertion
	return new Webhook(secret).verify(body, headers as Record<string, string>) as any;
}
