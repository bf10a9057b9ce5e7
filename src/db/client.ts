import postgres from "postgres";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { listenOn } from "./listen.ts";
import type { Db, Sql } from "./port.ts";
import { parseDatabaseUrl } from "./url.ts";
import { createTx } from "./tx.ts";

export interface DbOptions {
	readonly url: Secret;
	/** For LISTEN, past a pooler; the same as `url` where there is none. */
	readonly directUrl: Secret;
	readonly log: Log;
	/** Connections for single statements. */
	readonly poolSize?: number;
	/** Connections for transactions: as many run at once, the rest wait their turn. */
	readonly txPoolSize?: number;
	readonly applicationName?: string;
	readonly statementTimeoutMs?: number;
}

/**
 * Opens the database (postgres.js, the only file that imports it). Connects lazily: a database that is away is found by the first
 * query, or by `ping`. Rejects nothing itself.
 *
 * Guards for the driver's faults (postgres.js 3.4.9): transactions have a pool of their own with a semaphore of its size, so that
 * pipelined single statements never share a connection with one; `max_pipeline` stays at its default; there is no reserve() and no
 * COPY; undefined parameters throw. A backend that dies inside a transaction makes the driver write to a socket that is gone, outside of
 * every promise: `isKnownDriverFault` recognises that, and the runtime's last resort lets the process live.
 */
export function openDb(options: DbOptions): Db {
	const { log } = options;
	const poolSize = options.poolSize ?? 8;
	const txPoolSize = options.txPoolSize ?? 4;
	const sql = connect(options.url, poolSize, options);
	const txSql = connect(options.url, txPoolSize, options);
	const tx = createTx(txSql, txPoolSize, log);
	return {
		sql,
		tx: tx.run,
		listen: (channel, onEvent, onGap) => listenOn(() => connect(options.directUrl, 1, { ...options, statementTimeoutMs: 0 }), channel, onEvent, onGap, log),
		async ping(deadlineMs) {
			const answer = sql`select 1 as one`;
			await deadline(answer, deadlineMs);
		},
		async close(deadlineMs = 5_000) {
			await tx.drain(deadlineMs);
			const timeout = Math.ceil(deadlineMs / 1_000);
			await Promise.allSettled([sql.end({ timeout }), txSql.end({ timeout })]);
		},
	};
}

/** One pool with our types and limits. bigint columns are JavaScript bigints, column names camelCase. */
export function connect(url: Secret, max: number, options: Pick<DbOptions, "applicationName" | "statementTimeoutMs">): postgres.Sql<{ bigint: bigint }> {
	const { prepare, ...place } = parseDatabaseUrl(url);
	const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
	return postgres({
		...place,
		prepare,
		max,
		connect_timeout: 10,
		idle_timeout: 0,
		max_lifetime: null,
		backoff: (attempt: number) => Math.min(2, 0.05 * 2 ** attempt),
		onnotice: () => {},
		// Arrays are written right only when the driver has asked the server for their types, once a connection.
		fetch_types: true,
		types: { bigint: postgres.BigInt },
		transform: { column: { from: postgres.toCamel }, undefined: undefined },
		connection: {
			application_name: options.applicationName ?? "muster",
			statement_timeout: statementTimeoutMs,
			idle_in_transaction_session_timeout: 30_000,
			TimeZone: "UTC",
		},
	});
}

/** Whether an error that no promise carried is the driver's known one: it wrote to a connection that the server had just cut. */
export function isKnownDriverFault(error: unknown): boolean {
	if (!(error instanceof TypeError)) return false;
	return /\bwrite\b/.test(error.message) && /null|undefined/.test(error.message) && /postgres[\\/](src|cjs|cf)[\\/].*connection/.test(error.stack ?? "");
}

async function deadline<T>(work: PromiseLike<T>, ms: number): Promise<T> {
	const abort = AbortSignal.timeout(ms);
	return Promise.race([
		work,
		new Promise<never>((_, reject) => {
			abort.addEventListener("abort", () => reject(new Error(`PostgreSQL did not answer within ${ms} ms`)), { once: true });
		}),
	]);
}
