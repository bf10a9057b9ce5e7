/** What both adapters decide about a request before the program sees it. Pure but for reading a body. */
import { problem } from "../http/respond.ts";
import type { ServeOptions } from "./port.ts";

type Sockets = NonNullable<ServeOptions["sockets"]>;

/** Whether a request becomes a socket. `http`: it is an ordinary request. */
export type UpgradeVerdict =
	| { readonly kind: "http" }
	| { readonly kind: "refuse"; readonly response: Response }
	| { readonly kind: "upgrade"; readonly subprotocol: string };

/** Judges an upgrade request: 400 without a subprotocol in common, 503 when this peer may open no more. */
export function judgeUpgrade(request: Request, sockets: Sockets | undefined, peerAddress: string): UpgradeVerdict {
	if (sockets === undefined || request.headers.get("upgrade")?.toLowerCase() !== "websocket") return { kind: "http" };
	if (new URL(request.url).pathname !== sockets.path) return { kind: "http" };
	const offered = (request.headers.get("sec-websocket-protocol") ?? "")
		.split(",")
		.map((name) => name.trim())
		.filter((name) => name !== "");
	const subprotocol = sockets.subprotocol(offered);
	// A choice that the client did not offer makes Deno throw, and browsers fail the connection.
	if (subprotocol === undefined || !offered.includes(subprotocol)) {
		return { kind: "refuse", response: problem(400, "BAD_SUBPROTOCOL", `No acceptable WebSocket subprotocol in "${offered.join(", ")}"`) };
	}
	if (!sockets.admit(request, peerAddress)) {
		const message = "Too many open sockets from this address: close some, or raise the limit";
		return { kind: "refuse", response: problem(503, "TOO_MANY_SOCKETS", message, { "retry-after": "5" }) };
	}
	return { kind: "upgrade", subprotocol };
}

/**
 * The request with a body that is known to fit, or the 413 to answer. A declared length is believed (both servers enforce it);
 * a chunked body is read and counted here, and what exceeds the limit is not read.
 */
export async function boundBody(request: Request, bytesMax: number): Promise<Request | Response> {
	if (request.body === null) return request;
	const declared = request.headers.get("content-length");
	if (declared !== null) return Number(declared) > bytesMax ? tooLarge(bytesMax) : request;
	const chunks: Uint8Array[] = [];
	let total = 0;
	const reader = request.body.getReader();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		total += value.byteLength;
		if (total > bytesMax) {
			// Not awaited: a client that keeps sending must not hold back its answer.
			reader.cancel().catch(() => {});
			return tooLarge(bytesMax);
		}
		chunks.push(value);
	}
	return new Request(request.url, {
		method: request.method,
		headers: request.headers,
		body: await new Blob(chunks.map((chunk) => chunk.slice())).arrayBuffer(),
		signal: request.signal,
	});
}

function tooLarge(bytesMax: number): Response {
	const message = `The request body is longer than ${bytesMax} bytes: send less, or in parts`;
	return problem(413, "PAYLOAD_TOO_LARGE", message, { connection: "close" });
}

/** A close reason cut to what the protocol carries: 123 bytes of UTF-8, at a character's boundary. */
export function closeReason(reason: string): string {
	const bytes = new TextEncoder().encode(reason);
	return bytes.length <= 123 ? reason : new TextDecoder().decode(bytes.slice(0, 123)).replace(/\uFFFD+$/, "");
}

/** Requests on their way, so that a stop can wait for them. */
export interface InFlight {
	/** Counts one until `completed` settles. */
	add(completed: Promise<unknown>): void;
	/** Resolves when none is left. */
	idle(): Promise<void>;
}

/** Makes the count. */
export function inFlight(): InFlight {
	const idle = Promise.withResolvers<void>();
	let count = 0;
	let awaited = false;
	const settle = () => {
		if (awaited && count === 0) idle.resolve();
	};
	return {
		add(completed) {
			count++;
			const leave = () => {
				count--;
				settle();
			};
			completed.then(leave, leave);
		},
		idle() {
			awaited = true;
			settle();
			return idle.promise;
		},
	};
}
