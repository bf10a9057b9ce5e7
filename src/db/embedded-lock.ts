import { setTimeout as wait } from "node:timers/promises";
import type { Secret } from "../lib/secret.ts";
import { openConnection } from "./client.ts";

const lockKey = 0x6d757374;
/** A server that was just killed frees its lock when PostgreSQL notices, within moments. */
const tries = 50;
const pollMs = 100;

/**
 * Makes this process the only server of a data directory: a session lock on a connection of its own, which goes with the process however it ends.
 * Throws naming the directory when another living server has it. Returns what frees it.
 */
export async function lockDataDir(url: Secret, dataDir: string): Promise<() => Promise<void>> {
	const connection = await openConnection(url, { applicationName: "muster-owner", statementTimeoutMs: 0 });
	for (let attempt = 0; attempt < tries; attempt++) {
		const [row] = await connection.sql`select pg_try_advisory_lock(${lockKey}) as locked`;
		if (row?.["locked"] === true) return async () => connection.close();
		await wait(pollMs);
	}
	connection.close();
	throw new Error(
		`Another Muster server uses the data directory ${dataDir}: stop it, or give this one MUSTER_DATA_DIR or DATABASE_URL of its own`,
	);
}
