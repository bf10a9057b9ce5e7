import type postgres from "postgres";

declare const inTransaction: unique symbol;

/** The driver's tagged template: `sql\`select …\``. Only stores and src/db use it. */
export type Sql = postgres.ISql<{ bigint: bigint }>;

/** A template bound to one open transaction. Functions that must not run outside of one demand it. */
export type Tx = postgres.ISql<{ bigint: bigint }> & { readonly [inTransaction]: true };

export interface TxOptions {
	/** Default `read committed`. */
	readonly isolation?: "read committed" | "repeatable read" | "serializable";
	/**
	 * How often a transaction that lost to a concurrent one (40001, 40P01) is begun anew. Default 3.
	 * A connection lost before `commit` was sent is retried too; lost during `commit`, the outcome is unknown and the error goes up.
	 */
	readonly retries?: number;
	/**
	 * Joins go row by row through indexes: for transactions that look up a few hundred rows of large tables. The planner takes a list that comes
	 * as JSON for a hundred rows of anything, and would rather read a table of twenty thousand from end to end.
	 */
	readonly byIndex?: boolean;
}

export interface Listening {
	/** Stops; the connection goes back. */
	close(): Promise<void>;
}

/** The one way to PostgreSQL. */
export interface Db {
	/** Single statements, each its own transaction, from the shared pool. */
	readonly sql: Sql;
	/** Runs `work` in a transaction; commits when it resolves, rolls back when it throws. Never half of it. */
	tx<T>(work: (tx: Tx) => Promise<T>, options?: TxOptions): Promise<T>;
	/**
	 * LISTEN on a connection of its own. `onEvent` gets payloads; `onGap` is called after each (re)connect, when
	 * notifications may have been lost: read the state then. A notification is a hint, never the only carrier.
	 */
	listen(channel: string, onEvent: (payload: string) => void, onGap: () => void): Promise<Listening>;
	/** Resolves when a trivial query was answered; rejects with the reason after the deadline. */
	ping(deadlineMs: number): Promise<void>;
	/** Waits for running transactions up to the deadline, then closes every connection. */
	close(deadlineMs?: number): Promise<void>;
}
