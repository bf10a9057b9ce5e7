import type { Socket } from "node:net";
import { LinkError } from "./link.ts";

type Listener = (bytes: Buffer) => void;

/** What ReadyForQuery said last: idle, in a transaction, in a failed one. */
export type ServerStatus = "idle" | "transaction" | "failed";

/**
 * The socket as postgres.js sees it. It never tells the driver that the connection ended: the driver (3.4.9) would forget its socket, write
 * to it nevertheless (an error outside of every promise), and connect anew in the middle of a transaction, whose remaining statements then
 * run in somebody else's (porsager/postgres#1208, #1204). The session that owns this socket settles what was under way and drops the driver's
 * client as a whole; whatever the driver writes afterwards goes nowhere.
 */
export class DriverSocket {
	/** Called once, when the connection is gone for whatever reason. */
	onLost: (error: Error) => void = () => {};
	readonly #socket: Socket;
	readonly #where: string;
	#lost: Error | undefined;
	#status: ServerStatus = "idle";
	/** The last bytes that came, for a message that arrives in two pieces. */
	#tail: Buffer = Buffer.alloc(0);

	constructor(socket: Socket, where: string) {
		this.#socket = socket;
		this.#where = where;
		const gone = () => this.fail(new LinkError("CONNECTION_CLOSED", `PostgreSQL at ${where} closed the connection`));
		socket.on("end", gone);
		socket.on("close", gone);
		socket.on("error", (cause: Error & { code?: string }) => {
			this.fail(
				new LinkError(cause.code ?? "CONNECTION_CLOSED", `Lost the connection to PostgreSQL at ${where}: ${cause.message}`, { cause }),
			);
		});
	}

	get lost(): Error | undefined {
		return this.#lost;
	}

	get status(): ServerStatus {
		return this.#status;
	}

	/** Cuts the connection for this reason, unless it is gone already. */
	fail(error: Error): void {
		if (this.#lost !== undefined) return;
		this.#lost = error;
		this.#socket.destroy();
		this.onLost(error);
	}

	/** Says goodbye to the server and ends the connection. */
	finish(): void {
		if (this.#lost !== undefined) return;
		this.#lost = new LinkError("CONNECTION_ENDED", `The connection to PostgreSQL at ${this.#where} was closed`);
		const socket = this.#socket;
		socket.end(Buffer.from([0x58, 0, 0, 0, 4]), () => socket.destroy());
		this.onLost(this.#lost);
	}

	// From here on: what the driver calls.

	get readyState(): string {
		return this.#lost === undefined ? "open" : "closed";
	}

	on(event: string, listener: Listener): this {
		if (event === "data") {
			this.#socket.on("data", (bytes: Buffer) => {
				if (this.#lost !== undefined) return;
				this.#tail = bytes.length >= readyBytes ? bytes.subarray(-readyBytes) : Buffer.concat([this.#tail, bytes]).subarray(-readyBytes);
				this.#status = statusAfter(this.#tail) ?? this.#status;
				listener(bytes);
			});
		} else if (event === "drain") {
			this.#socket.on("drain", listener);
		}
		return this;
	}

	once(): this {
		return this;
	}

	removeListener(): this {
		return this;
	}

	removeAllListeners(): this {
		return this;
	}

	setKeepAlive(): this {
		return this;
	}

	write(bytes: Uint8Array): boolean {
		return this.#lost === undefined ? this.#socket.write(bytes) : true;
	}

	end(): this {
		this.finish();
		return this;
	}

	destroy(): this {
		this.fail(new LinkError("CONNECTION_DESTROYED", `The connection to PostgreSQL at ${this.#where} was given up`));
		return this;
	}
}

/** Length of ReadyForQuery: `Z`, its length 5 as four bytes, one letter. */
const readyBytes = 6;

/** ReadyForQuery ends what the server sends for a statement. Undefined when these bytes are no such message. */
function statusAfter(bytes: Buffer): ServerStatus | undefined {
	if (bytes.length < readyBytes || bytes[0] !== 0x5a || bytes.readUInt32BE(1) !== 5) return undefined;
	return { I: "idle", T: "transaction", E: "failed" }[String.fromCharCode(bytes[5] ?? 0)] as ServerStatus | undefined;
}
