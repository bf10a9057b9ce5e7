import { performance } from "node:perf_hooks";
import type { DriverSocket, ServerStatus } from "./driver-socket.ts";
import { LinkError } from "./link.ts";

/** The driver's query object, as far as we steer it. Not in its types; `assertDriver` in client.ts checks it at start. */
export interface Statement extends PromiseLike<unknown> {
	/** Called by the driver when the statement is first awaited. */
	handler: (statement: Statement) => void;
	/** Settles it from outside. */
	readonly reject: (error: unknown) => void;
	/** The driver's own way to cancel, over a connection that we do not watch. */
	canceller: unknown;
	readonly cursorFn?: unknown;
	readonly streaming?: unknown;
}

/** What client.ts gives a session of the driver. */
export interface DriverClient {
	/** Hands a statement to the driver's client, which has one connection: this session's. */
	readonly hand: (statement: Statement) => void;
	/** A first statement: it is answered when the connection is authenticated. */
	first(): Statement;
}

/**
 * One connection to PostgreSQL, from its opening to its loss: it is never opened again, a new session takes its place. It carries one
 * statement at a time: the driver mixes up answers when a statement cannot be written (an undefined or circular parameter) while another
 * is on its way.
 */
export class Session {
	/** When it was opened, on the monotonic clock. */
	readonly openedAt = performance.now();
	/** Called once when the connection is lost or closed. */
	onLost: (error: Error) => void = () => {};
	readonly #socket: DriverSocket;
	readonly #client: DriverClient;
	#current: Statement | undefined;
	#busySince = 0;

	/** Takes the socket over; from here on the session alone watches it. */
	constructor(socket: DriverSocket, client: DriverClient) {
		this.#socket = socket;
		this.#client = client;
		socket.onLost = (error) => {
			this.#current?.reject(error);
			this.onLost(error);
		};
	}

	/** Why it can carry no more statements; undefined while it can. */
	get lost(): Error | undefined {
		return this.#socket.lost;
	}

	get status(): ServerStatus {
		return this.#socket.status;
	}

	/** How long the statement under way has been, 0 without one. */
	busyMs(): number {
		return this.#current === undefined ? 0 : performance.now() - this.#busySince;
	}

	/** Authenticates. Rejects with the server's reason, or after the deadline. */
	async start(deadlineMs: number): Promise<void> {
		const timer = setTimeout(() => {
			this.#socket.fail(new LinkError("CONNECT_TIMEOUT", `PostgreSQL did not answer the login within ${deadlineMs} ms`));
		}, deadlineMs);
		try {
			const first = this.#client.first();
			first.handler = (statement) => void this.run(statement);
			await first;
		} catch (error) {
			this.close();
			throw error;
		} finally {
			clearTimeout(timer);
		}
	}

	/** Runs a statement; resolves when it is settled, however it was. The caller keeps others back until then. */
	run(statement: Statement): Promise<void> {
		if (this.#current !== undefined) throw new Error("A database session carries one statement at a time");
		if (this.#socket.lost !== undefined) {
			statement.reject(this.#socket.lost);
			return Promise.resolve();
		}
		this.#current = statement;
		this.#busySince = performance.now();
		const done = Promise.resolve(
			statement.then(
				() => this.#settled(),
				(error: unknown) => this.#settled(error),
			),
		);
		this.#client.hand(statement);
		return done;
	}

	/** Cuts the connection: the statement under way is rejected with this error, the server rolls back what was open. */
	fail(error: Error): void {
		this.#socket.fail(error);
	}

	/** Ends the connection; a statement under way is rejected. Idempotent. */
	close(): void {
		this.#socket.finish();
	}

	#settled(error?: unknown): void {
		this.#current = undefined;
		// Refused by the driver, not by the server: it may have been half written, so what comes back is anyone's guess.
		if (error instanceof Error && error.name !== "PostgresError") this.#socket.fail(error);
	}
}
