import { setTimeout as wait } from "node:timers/promises";
import { performance } from "node:perf_hooks";
import postgres from "postgres";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { arrayOids, arrayTypes } from "./array-types.ts";
import { DriverSocket } from "./driver-socket.ts";
import { isConnectionFault } from "./faults.ts";
import { Lane } from "./lane.ts";
import { LinkError, openLink } from "./link.ts";
import { createListener } from "./listen.ts";
import { Pool } from "./pool.ts";
import type { Db, Sql } from "./port.ts";
import { type DriverClient, Session, type Statement } from "./session.ts";
import { isStatement, templateOver } from "./template.ts";
import { runTx } from "./tx.ts";
import { type DatabasePlace, describePlace, parseDatabaseUrl } from "./url.ts";

/** How to open the database. */
export interface DbOptions {
	readonly url: Secret;
	/** For LISTEN, past a pooler; the same as `url` where there is none. */
	readonly directUrl: Secret;
	readonly log: Log;
	/** Connections for single statements. Default 10. */
	readonly poolSize?: number;
	/** Connections for transactions: as many run at once, the rest wait their turn. Default 4. */
	readonly txPoolSize?: number;
	/** What pg_stat_activity shows. Default `muster`. */
	readonly applicationName?: string;
	/** The server ends a longer statement (57014). 0: no limit. Default 30,000. */
	readonly statementTimeoutMs?: number;
}

/** One connection to the database, for what belongs to a session: locks, LISTEN, migrations. It is not opened again when it is lost. */
export interface Connection {
	/** Its statements, in the order they are awaited. */
	readonly sql: Sql;
	/** Why it is gone; undefined while it is there. */
	readonly lost: Error | undefined;
	/** Resolves with the reason once it is gone. */
	readonly gone: Promise<Error>;
	/** Cuts it; the statement under way is rejected. */
	readonly close: () => void;
}

type Driver = postgres.Sql<{ bigint: bigint }>;
type Limits = Pick<DbOptions, "applicationName" | "statementTimeoutMs">;

const connectMs = 10_000;
const statementTimeoutMsDefault = 30_000;
const idleInTransactionMs = 30_000;
/** Beyond statement_timeout: what an answer may take on its way. */
const silenceSlackMs = 15_000;

/**
 * Opens the database over postgres.js 3.4.9; this is the only file that imports it. Connects when it is first asked something: a
 * database that is away is found by the first statement, or by `ping`. Throws when a URL is malformed.
 *
 * Stores write `${sql.json(value)}` for jsonb, never a string of JSON. int8 is a bigint, timestamptz a Date, column names arrive in camelCase.
 *
 * The driver makes statements, speaks the protocol and parses rows. Connections, pools and transactions are ours, because its own run
 * statements of a transaction whose connection was lost on the next connection, inside of another transaction (see driver-socket.ts and
 * session.ts): no begin(), reserve(), listen() or COPY of the driver, no reconnection, no pipelining, no query for types.
 */
export function openDb(options: DbOptions): Db {
	const { log } = options;
	const statementTimeoutMs = options.statementTimeoutMs ?? statementTimeoutMsDefault;
	const place = parseDatabaseUrl(options.url);
	const directPlace = parseDatabaseUrl(options.directUrl);
	const driver = openDriver(place, options);
	const direct = openDriver(directPlace, { ...options, statementTimeoutMs: 0 });
	const silenceMsMax = statementTimeoutMs === 0 ? 0 : statementTimeoutMs + silenceSlackMs;
	const open = () => openSession(driver, place);
	const pool = new Pool({ max: options.poolSize ?? 10, silenceMsMax, open });
	const txPool = new Pool({ max: options.txPoolSize ?? 4, silenceMsMax, open });
	const sql = templateOver(driver, (statement) => lend(pool, statement));
	const listener = createListener((onNotify) => connectionOver(direct, directPlace, onNotify), log);
	// Behind a pooler a session belongs to nobody, so what a session cannot hold is said in each transaction.
	const settings = place.prepare
		? []
		: [`set local statement_timeout = ${statementTimeoutMs}`, `set local idle_in_transaction_session_timeout = ${idleInTransactionMs}`];
	return {
		sql,
		tx: (work, txOptions) => runTx({ pool: txPool, base: driver, log, settings }, work, txOptions),
		listen: (channel, onEvent, onGap) => listener.listen(channel, onEvent, onGap),
		ping: (deadlineMs) => ping(sql, describePlace(place), deadlineMs),
		async close(deadlineMs = 5_000) {
			await listener.close();
			// Transactions first: their work may ask the other pool.
			await txPool.close(deadlineMs);
			await pool.close(deadlineMs);
		},
	};
}

/** Opens one connection. Rejects with the reason when the database cannot be reached or does not let us in. */
export function openConnection(url: Secret, limits: Limits = {}): Promise<Connection> {
	const place = parseDatabaseUrl(url);
	return connectionOver(openDriver(place, limits), place);
}

/** A pool on its own, for tools and tests: statements as they come, `end` closes it. */
export function connect(url: Secret, max: number, limits: Limits): Sql & { end(options?: { readonly timeout?: number }): Promise<void> } {
	const place = parseDatabaseUrl(url);
	const driver = openDriver(place, limits);
	const pool = new Pool({ max, silenceMsMax: 0, open: () => openSession(driver, place) });
	const sql = templateOver(driver, (statement) => lend(pool, statement));
	return Object.assign(sql, { end: ({ timeout = 5 } = {}) => pool.close(timeout * 1_000) });
}

/**
 * Whether an error that no promise carried is postgres.js writing to a connection that the server had just cut. With connections of our
 * own the driver never sees one end, so this is the second line; the process may live on, whoever waited is rejected by the session.
 */
export function isKnownDriverFault(error: unknown): boolean {
	if (!(error instanceof TypeError)) return false;
	const { message, stack = "" } = error;
	return (
		/\bwrite\b/.test(message) && /null|undefined/.test(message) && /postgres[\\/](src|cjs|cf)[\\/].*connection|\bnextWrite\b/.test(stack)
	);
}

/** The driver with our types. It makes statements and holds settings; it never connects itself. */
function openDriver(place: DatabasePlace, limits: Limits): Driver {
	const statementTimeoutMs = limits.statementTimeoutMs ?? statementTimeoutMsDefault;
	const driver = postgres<{ bigint: postgres.PostgresType<bigint> }>({
		host: "localhost",
		database: place.database,
		user: place.user,
		pass: place.pass,
		ssl: false,
		prepare: place.prepare,
		// Its own limits are off: the pools know connections, and a timer of the driver would end one inside of a transaction.
		max: 1,
		connect_timeout: 0,
		idle_timeout: 0,
		max_lifetime: null,
		fetch_types: false,
		onnotice: () => {},
		types: { ...arrayTypes, bigint: postgres.BigInt },
		transform: { column: { from: postgres.toCamel }, undefined: undefined },
		connection: {
			application_name: limits.applicationName ?? "muster",
			TimeZone: "UTC",
			DateStyle: "ISO, MDY",
			...(place.prepare ? { statement_timeout: statementTimeoutMs, idle_in_transaction_session_timeout: idleInTransactionMs } : {}),
		},
	});
	const { shared } = driver.options as unknown as { readonly shared: { readonly typeArrayMap: Record<number, number> } };
	Object.assign(shared.typeArrayMap, arrayOids);
	assertDriver(driver);
	return driver;
}

/** Throws when the driver is not the one this was written for: what we steer it by is not in its types. */
function assertDriver(driver: Driver): void {
	const probe: unknown = driver`select 1`;
	if (!isStatement(probe) || typeof probe.handler !== "function") throw new Error("This version of postgres.js is unknown: install 3.4.9");
}

async function openSession(driver: Driver, place: DatabasePlace, onNotify?: (channel: string, payload: string) => void): Promise<Session> {
	const socket = new DriverSocket(await openLink(place, connectMs), describePlace(place));
	// Settings that were parsed once are taken as they are; `socket` and `onnotify` are not in the types.
	const settings = { ...driver.options, target_session_attrs: undefined, socket: () => socket, onnotify: onNotify };
	const client = postgres(settings as unknown as postgres.Options<Record<string, postgres.PostgresType>>);
	const session = new Session(socket, clientOf(client));
	await session.start(connectMs);
	return session;
}

function clientOf(client: postgres.Sql): DriverClient {
	const probe: unknown = client`select 1`;
	if (!isStatement(probe)) throw new Error("This version of postgres.js is unknown: install 3.4.9");
	const first: unknown = client.unsafe("select 1");
	return { hand: probe.handler, first: () => first as Statement };
}

async function connectionOver(
	driver: Driver,
	place: DatabasePlace,
	onNotify?: (channel: string, payload: string) => void,
): Promise<Connection> {
	const session = await openSession(driver, place, onNotify);
	const lane = new Lane(session);
	const gone = new Promise<Error>((resolve) => {
		if (session.lost !== undefined) resolve(session.lost);
		session.onLost = resolve;
	});
	return {
		sql: templateOver(driver, (statement) => lane.add(statement)),
		gone,
		get lost() {
			return session.lost;
		},
		close: () => session.close(),
	};
}

/** Runs a single statement on the next free connection. */
function lend(pool: Pool, statement: Statement): void {
	const run = (session: Session) => void session.run(statement).then(() => pool.release(session));
	const free = pool.take();
	if (free !== undefined) run(free);
	else void pool.acquire().then(run, (error: unknown) => statement.reject(error));
}

/** Asks until there is an answer: a database that is just starting gets the time until the deadline. */
async function ping(sql: Sql, where: string, deadlineMs: number): Promise<void> {
	const end = performance.now() + deadlineMs;
	const late = AbortSignal.timeout(deadlineMs);
	let reason: unknown;
	const expired = new Promise<never>((_, reject) => {
		late.addEventListener("abort", () => {
			reject(reason ?? new LinkError("CONNECT_TIMEOUT", `PostgreSQL at ${where} did not answer within ${deadlineMs} ms`));
		});
	});
	while (true) {
		try {
			await Promise.race([sql`select 1`, expired]);
			return;
		} catch (error) {
			reason = error;
			if (!isConnectionFault(error) || performance.now() + 50 >= end) throw error;
			await wait(50);
		}
	}
}
