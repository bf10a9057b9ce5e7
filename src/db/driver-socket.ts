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

	constructor(socket: Socket, where: string) {
		this.#socket = socket;
		this.#where = where;
		const gone = () => this.fail(new LinkError("CONNECTION_CLOSED", `PostgreSQL at ${where} closed the connection`));
		socket.on("end", gone);
		socket.on("close", gone);
		socket.on("error", (cause: Error & { code?: string }) => {
			this.fail(new LinkError(cause.code ?? "CONNECTION_CLOSED", `Lost the connection to PostgreSQL at ${where}: ${cause.message}`, { cause }));
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
		this.#socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
		this.#socket.destroySoon();
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
				this.#status = statusAfter(bytes) ?? this.#status;
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

/** ReadyForQuery ends what the server sends for a statement: `Z`, length 5, one letter. Undefined when these bytes end otherwise. */
function statusAfter(bytes: Buffer): ServerStatus | undefined {
	const at = bytes.length - 6;
	if (at < 0 || bytes[at] !== 0x5a || bytes.readUInt32BE(at + 1) !== 5) return undefined;
	const letter = bytes[at + 5];
	return letter === 0x49 ? "idle" : letter === 0x54 ? "transaction" : letter === 0x45 ? "failed" : undefined;
}
