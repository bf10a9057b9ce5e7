import { setTimeout as wait } from "node:timers/promises";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { type Connection, openConnection } from "./client.ts";

const lockKey = 0x6d757374;
/** A server that was just killed frees its lock when PostgreSQL notices, within moments. */
const tries = 30;
const pollMs = 100;

/** Holds a data directory for this process. */
export interface DirLock {
	/** PostgreSQL is about to be stopped: that the lock goes with it is no news. It is still held. */
	ending(): void;
	/** Frees it. */
	release(): void;
}

/**
 * Makes this process the only server of a data directory: a session lock on a connection of its own, which goes with the process however it ends.
 * Throws naming the directory when another living server has it. Cut off while the same PostgreSQL lives on (one of its processes
 * crashed), it is taken again.
 * @param alive whether the PostgreSQL that was started is still the one that runs
 */
export async function lockDataDir(url: Secret, dataDir: string, log: Log, alive: () => Promise<boolean>): Promise<DirLock> {
	let connection = await take(url);
	if (connection === undefined) {
		throw new Error(
			`Another Muster server uses the data directory ${dataDir}: stop it, or give this one MUSTER_DATA_DIR or DATABASE_URL of its own`,
		);
	}
	let [released, ended] = [false, false];

	async function watch(held: Connection): Promise<void> {
		const error = await held.gone;
		connection = undefined;
		if (ended || released) return;
		log.warn("database.lock_lost", { error, dataDir });
		while (!released && !ended && (await alive())) {
			connection = await take(url).catch(() => undefined);
			if (connection !== undefined) {
				if (released) return connection.close();
				log.info("database.lock_retaken", { dataDir });
				return watch(connection);
			}
			await wait(pollMs);
		}
	}

	void watch(connection).catch((error: unknown) => log.error("database.lock_fault", { error, dataDir }));
	return {
		ending() {
			ended = true;
		},
		release() {
			released = true;
			connection?.close();
		},
	};
}

async function take(url: Secret): Promise<Connection | undefined> {
	const connection = await openConnection(url, { applicationName: "muster-owner", statementTimeoutMs: 0 });
	for (let attempt = 0; attempt < tries; attempt++) {
		const [row] = await connection.sql`select pg_try_advisory_lock(${lockKey}) as locked`;
		if (row?.["locked"] === true) return connection;
		await wait(pollMs);
	}
	connection.close();
	return undefined;
}
