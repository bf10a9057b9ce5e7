import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";

/** A request to Portainer. */
export interface Call {
	readonly method: string;
	readonly url: URL;
	readonly headers: Readonly<Record<string, string>>;
	readonly body?: string | Uint8Array | undefined;
	readonly insecureTls: boolean;
	readonly signal: AbortSignal;
}

/** Its answer; the body may still be coming, and ending its iteration early ends the connection. */
export interface CallAnswer {
	readonly status: number;
	readonly header: (name: string) => string | undefined;
	readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Sends one request on a connection of its own; no redirect is followed. By node:http and not fetch, since only so a certificate that nobody vouches
 * for is believed alike on both runtimes. Rejects with the connection's error, or the signal's reason.
 */
export async function send({ method, url, headers, body, insecureTls, signal }: Call): Promise<CallAnswer> {
	signal.throwIfAborted();
	const { promise, resolve, reject } = Promise.withResolvers<CallAnswer>();
	const onAnswer = (message: IncomingMessage) => {
		const header = (name: string) => {
			const value = message.headers[name];
			return Array.isArray(value) ? value.join(", ") : value;
		};
		resolve({ status: message.statusCode ?? 0, header, body: read(message, signal, () => request.destroy()) });
	};
	const options = {
		method,
		agent: false,
		signal,
		headers: { ...headers, ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }) },
	} as const;
	const request =
		url.protocol === "https:"
			? requestTls(url, { ...options, rejectUnauthorized: !insecureTls }, onAnswer)
			: requestPlain(url, options, onAnswer);
	request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
	// A request that is destroyed before an answer need not emit an error on every runtime.
	request.on("close", () => reject(signal.aborted ? signal.reason : new Error("the connection was closed without an answer")));
	request.end(body);
	return promise;
}

async function* read(message: IncomingMessage, signal: AbortSignal, cut: () => void): AsyncGenerator<Uint8Array> {
	let whole = false;
	try {
		for await (const chunk of message) yield chunk as Uint8Array;
		whole = true;
		signal.throwIfAborted();
	} finally {
		if (!whole) cut();
	}
}

/** The whole of a body as text, cut off after so many bytes. */
export async function textOf(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
	const parts: Uint8Array[] = [];
	let bytes = 0;
	for await (const part of body) {
		parts.push(part);
		bytes += part.length;
		if (bytes > bytesMax) break;
	}
	return Buffer.concat(parts).subarray(0, bytesMax).toString("utf8");
}
