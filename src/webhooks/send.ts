import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { literalAddress } from "./target.ts";

/** A receiver's answer. */
export interface Answer {
	readonly status: number;
	readonly retryAfter: string | undefined;
}

export interface Outgoing {
	readonly url: URL;
	/** The checked address to connect to; the URL's name goes into the Host header, SNI and the certificate's check. */
	readonly address: string;
	readonly headers: Readonly<Record<string, string>>;
	readonly body: string;
	readonly signal: AbortSignal;
}

/** What of an answer's body is read before the connection is cut; all of it is dropped. */
const answerBytesMax = 64 * 1024;

/**
 * POSTs once, on a connection of its own, to the address given and to no other: no redirect is followed. Resolves with the status once the
 * answer has ended, or enough of it was read. Throws when no status came: the connection's error, or AbortError.
 */
export async function post({ url, address, headers, body, signal }: Outgoing): Promise<Answer> {
	const secure = url.protocol === "https:";
	const options = {
		// The address, never the name: a runtime that resolved it again could land elsewhere.
		host: address,
		port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
		path: `${url.pathname}${url.search}`,
		method: "POST",
		headers: { ...headers, host: url.host, "content-length": Buffer.byteLength(body) },
		agent: false,
		signal,
		...(secure && literalAddress(url) === undefined ? { servername: url.hostname.replace(/\.$/, "") } : {}),
	};
	const { promise, resolve, reject } = Promise.withResolvers<Answer>();
	const onAnswer = (message: IncomingMessage) => {
		const answer = { status: message.statusCode ?? 0, retryAfter: message.headers["retry-after"] };
		let bytes = 0;
		const finish = () => {
			resolve(answer);
			request.destroy();
		};
		message.on("data", (chunk: Uint8Array) => {
			bytes += chunk.length;
			if (bytes > answerBytesMax) finish();
		});
		// The status has come: whatever happens to the body, the receiver has said its word.
		message.on("end", finish).on("error", finish).on("aborted", finish).on("close", finish);
	};
	const request = secure ? requestTls(options, onAnswer) : requestPlain(options, onAnswer);
	request.on("error", reject);
	// A request that is destroyed before an answer need not emit an error on every runtime.
	request.on("close", () => reject(new Error("the connection was closed without an answer")));
	request.end(body);
	return promise;
}
