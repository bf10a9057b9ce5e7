/** A WebSocket client down to the TCP socket, since a well-behaved one cannot stall, stay silent or break the protocol. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { soon } from "../support/until.ts";

const opcodes = { text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

export interface RawSocketOptions {
	readonly port: number;
	readonly path?: string;
	/** Offered subprotocols; undefined offers none. */
	readonly subprotocol?: string | undefined;
	/** Whether close frames and pings are answered. Default true. */
	readonly answers?: boolean;
	readonly headers?: Readonly<Record<string, string>>;
}

export interface CloseFrame {
	/** 1005: a close frame without a code; 1006: the connection ended without one. */
	readonly code: number;
	readonly reason: string;
}

/** An open WebSocket. */
export interface RawSocket {
	/** The subprotocol that the server chose. */
	readonly subprotocol: string | undefined;
	send(message: object | string): void;
	sendBinary(bytes: Uint8Array): void;
	/** The next text frame, parsed. Rejects when the connection ends first. */
	next(): Promise<Record<string, unknown>>;
	/** The server's close frame, or the connection's end. */
	readonly closed: Promise<CloseFrame>;
	/** Resolves when the TCP connection has ended. */
	readonly ended: Promise<void>;
	/** Stops and resumes reading from TCP. */
	pause(): void;
	resume(): void;
	/** Cuts the connection without a word. */
	destroy(): void;
}

/** Opens one; a refused upgrade gives the reply's status and body. */
export async function openRawSocket(
	options: RawSocketOptions,
): Promise<{ readonly socket: RawSocket } | { readonly status: number; readonly body: string }> {
	const tcp = connect(options.port, "127.0.0.1");
	const subprotocol = "subprotocol" in options ? options.subprotocol : "graphql-transport-ws";
	const head = [
		`GET ${options.path ?? "/graphql"} HTTP/1.1`,
		`Host: 127.0.0.1:${options.port}`,
		"Upgrade: websocket",
		"Connection: Upgrade",
		`Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
		"Sec-WebSocket-Version: 13",
		...(subprotocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
		...Object.entries(options.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
	];
	tcp.write(`${head.join("\r\n")}\r\n\r\n`);
	const { status, headers, rest } = await soon("the reply to an upgrade", readHead(tcp));
	if (status === 101) return { socket: socketOver(tcp, headers.get("sec-websocket-protocol"), rest, options.answers ?? true) };
	tcp.end();
	const body = await soon("the body of a refused upgrade", readRest(tcp, rest));
	return { status, body };
}

/** Opens one, or throws with the refusal. */
export async function rawSocket(options: RawSocketOptions): Promise<RawSocket> {
	const opened = await openRawSocket(options);
	if ("socket" in opened) return opened.socket;
	throw new Error(`The upgrade was refused with ${opened.status}: ${opened.body}`);
}

async function readHead(tcp: Socket): Promise<{ status: number; headers: Map<string, string>; rest: Buffer }> {
	let bytes = Buffer.alloc(0);
	return new Promise((resolve, reject) => {
		tcp.once("error", reject);
		const take = (chunk: Buffer) => {
			bytes = Buffer.concat([bytes, chunk]);
			const end = bytes.indexOf("\r\n\r\n");
			if (end < 0) return;
			tcp.off("data", take);
			const [statusLine = "", ...lines] = bytes.subarray(0, end).toString().split("\r\n");
			const headers = new Map(
				lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
			);
			resolve({ status: Number(statusLine.split(" ")[1]), headers, rest: bytes.subarray(end + 4) });
		};
		tcp.on("data", take);
	});
}

async function readRest(tcp: Socket, rest: Buffer): Promise<string> {
	let text = rest.toString();
	return new Promise((resolve) => {
		tcp.on("data", (chunk: Buffer) => {
			text += chunk.toString();
		});
		tcp.once("close", () => resolve(text));
	});
}

function socketOver(tcp: Socket, subprotocol: string | undefined, rest: Buffer, answers: boolean): RawSocket {
	const messages: Record<string, unknown>[] = [];
	const closed = Promise.withResolvers<CloseFrame>();
	const ended = Promise.withResolvers<void>();
	let wake = () => {};
	let isOver = false;
	const write = (opcode: number, payload: Uint8Array) => void tcp.write(frame(opcode, payload));
	const take = frameReader((opcode, payload) => {
		if (opcode === opcodes.text) messages.push(JSON.parse(payload.toString()));
		if (opcode === opcodes.ping && answers) write(opcodes.pong, payload);
		if (opcode === opcodes.close) {
			closed.resolve({ code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), reason: payload.subarray(2).toString() });
			if (answers) {
				write(opcodes.close, payload);
				tcp.end();
			}
		}
		wake();
	});
	tcp.on("error", () => {});
	tcp.once("close", () => {
		isOver = true;
		closed.resolve({ code: 1006, reason: "" });
		ended.resolve();
		wake();
	});
	tcp.on("data", take);
	take(rest);
	return {
		subprotocol,
		closed: closed.promise,
		ended: ended.promise,
		send: (message) => write(opcodes.text, Buffer.from(typeof message === "string" ? message : JSON.stringify(message))),
		sendBinary: (bytes) => write(opcodes.binary, bytes),
		async next() {
			while (messages.length === 0) {
				if (isOver) throw new Error("The connection ended before the next message");
				await soon(
					"the next message",
					new Promise<void>((resolve) => {
						wake = resolve;
					}),
				);
			}
			return messages.shift() ?? {};
		},
		pause: () => void tcp.pause(),
		resume: () => void tcp.resume(),
		destroy: () => void tcp.destroy(),
	};
}

/** Cuts a byte stream into a server's frames; Muster's server never splits a message. */
function frameReader(found: (opcode: number, payload: Buffer) => void): (chunk: Buffer) => void {
	let chunks: Buffer[] = [];
	let buffered = 0;
	let wanted = 2;
	return (chunk) => {
		chunks.push(chunk);
		buffered += chunk.length;
		while (buffered >= wanted) {
			const bytes = Buffer.concat(chunks);
			const size = (bytes[1] ?? 0) & 0x7f;
			const headBytes = size === 127 ? 10 : size === 126 ? 4 : 2;
			const payloadBytes =
				bytes.length < headBytes ? 0 : size === 127 ? Number(bytes.readBigUInt64BE(2)) : size === 126 ? bytes.readUInt16BE(2) : size;
			wanted = headBytes + payloadBytes;
			chunks = [bytes];
			if (buffered < wanted) return;
			chunks = [bytes.subarray(wanted)];
			buffered -= wanted;
			found((bytes[0] ?? 0) & 0x0f, bytes.subarray(headBytes, wanted));
			wanted = 2;
		}
	};
}

function frame(opcode: number, payload: Uint8Array): Buffer {
	const mask = randomBytes(4);
	const size = payload.length;
	const head = size < 126 ? Buffer.from([size | 0x80]) : size < 65_536 ? Buffer.alloc(3, 126 | 0x80) : Buffer.alloc(9, 127 | 0x80);
	if (size >= 65_536) head.writeBigUInt64BE(BigInt(size), 1);
	else if (size >= 126) head.writeUInt16BE(size, 1);
	const masked = Buffer.from(payload);
	for (let index = 0; index < masked.length; index++) masked[index] = (masked[index] ?? 0) ^ (mask[index & 3] ?? 0);
	return Buffer.concat([Buffer.from([opcode | 0x80]), head, mask, masked]);
}
