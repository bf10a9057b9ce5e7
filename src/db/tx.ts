import { setTimeout as wait } from "node:timers/promises";
import { type Backoff, fullJitter } from "../lib/backoff.ts";
import type { Log } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { isConnectionFault } from "./faults.ts";
import { Lane } from "./lane.ts";
import { LinkError } from "./link.ts";
import type { Pool } from "./pool.ts";
import type { Sql, Tx, TxOptions } from "./port.ts";
import { templateOver } from "./template.ts";

/** How far a transaction had come when it failed: `commit` once the server may have seen it. */
export type TxPhase = "begin" | "work" | "commit";

/** Why a failed transaction may be begun anew: it lost to another one, or its connection went. */
export type TxRetry = "conflict" | "connection";

/**
 * Whether a failed transaction may be run again from its beginning, and why. Pure.
 *
 * | error | begin, work | commit |
 * |---|---|---|
 * | 40001 serialization_failure, 40P01 deadlock_detected (rolled back by the server) | again | again |
 * | 0A000 "cached plan must not change result type" (a migration ran) | again | again |
 * | connection lost or refused | again | no: it may be stored, twice would be wrong |
 * | everything else | no | no |
 */
export function retryable(error: unknown, phase: TxPhase): TxRetry | undefined {
	for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
		const code = "code" in at ? at.code : undefined;
		if (code === "40001" || code === "40P01") return "conflict";
		if (code === "0A000" && at.message.includes("cached plan")) return "conflict";
	}
	return phase !== "commit" && isConnectionFault(error) ? "connection" : undefined;
}

const retriesDefault = 3;
/** Said together with `begin`, so they cost no round trip. */
const byIndex = ["set local enable_hashjoin = off", "set local enable_mergejoin = off", "set local enable_seqscan = off"];
const backoffs: Readonly<Record<TxRetry, Backoff>> = {
	conflict: { baseMs: 20, capMs: 500 },
	connection: { baseMs: 100, capMs: 2_000 },
};

/** What a transaction runner needs. */
export interface TxParts {
	/** Sessions of which each carries one transaction at a time. */
	readonly pool: Pool;
	/** Makes statements, never runs them. */
	readonly base: Sql;
	readonly log: Log;
	/** Said at the start of each transaction, where the session cannot hold settings. */
	readonly settings: readonly string[];
}

/**
 * Runs `work` in a transaction and commits; begins anew after a retryable failure, with jitter. The transaction stands or falls as a whole:
 * its statements run on one connection or not at all, also those that come after the connection was lost or the work has failed.
 * A connection lost during `commit` leaves the outcome open: the error says so, and there is no second try.
 */
export async function runTx<T>(parts: TxParts, work: (tx: Tx) => Promise<T>, options: TxOptions = {}): Promise<T> {
	const retries = options.retries ?? retriesDefault;
	for (let attempt = 0; ; attempt++) {
		const progress: { phase: TxPhase } = { phase: "begin" };
		try {
			const begin = [
				`begin isolation level ${options.isolation ?? "read committed"}`,
				...parts.settings,
				...(options.byIndex === true ? byIndex : []),
			];
			return await once(parts, work, begin.join("; "), progress);
		} catch (error) {
			const { phase } = progress;
			const why = attempt < retries ? retryable(error, phase) : undefined;
			if (why === undefined) throw phase === "commit" && isConnectionFault(error) ? outcomeUnknown(error) : error;
			parts.log.debug("db.transaction_retried", { attempt, phase, why, error });
			await wait(fullJitter(backoffs[why], attempt, systemRandom.fraction()));
		}
	}
}

function outcomeUnknown(cause: unknown): LinkError {
	return new LinkError(
		"CONNECTION_CLOSED",
		"The connection to PostgreSQL was lost during commit: whether the transaction was stored is unknown",
		{ cause },
	);
}

async function once<T>(parts: TxParts, work: (tx: Tx) => Promise<T>, begin: string, progress: { phase: TxPhase }): Promise<T> {
	const session = await parts.pool.acquire();
	const lane = new Lane(session);
	let open = false;
	try {
		await lane.say(parts.base, begin);
		open = true;
		progress.phase = "work";
		const value = await work(templateOver(parts.base, (statement) => lane.add(statement)) as Tx);
		await lane.idle();
		await lane.end(tooLate());
		if (session.lost !== undefined) throw session.lost;
		progress.phase = "commit";
		const command = await lane.say(parts.base, "commit");
		open = false;
		if (command !== "COMMIT") {
			// A statement failed and the work went on regardless.
			progress.phase = "work";
			throw lane.failure ?? new Error("PostgreSQL rolled the transaction back instead of committing it");
		}
		return value;
	} catch (error) {
		await lane.end(tooLate());
		// What cannot be rolled back must not be lent again: without its connection the server rolls it back.
		if (open && session.lost === undefined) await lane.say(parts.base, "rollback").catch(() => session.close());
		throw error;
	} finally {
		parts.pool.release(session);
	}
}

function tooLate(): Error {
	return new Error("A statement came after its transaction had ended: await every statement inside of the transaction");
}
