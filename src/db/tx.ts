import { setTimeout as wait } from "node:timers/promises";
import type postgres from "postgres";
import { fullJitter } from "../lib/backoff.ts";
import type { Log } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { isConnectionFault } from "./faults.ts";
import type { Tx, TxOptions } from "./port.ts";

/** How far a transaction had come when it failed. */
export type TxPhase = "begin" | "work" | "commit";

/**
 * Whether a failed transaction may be run again from its beginning. Pure.
 * serialization_failure and deadlock_detected were rolled back by the server; a connection lost before `commit` was sent took the
 * transaction with it. Lost during `commit`, the outcome is unknown: running it again could do it twice.
 */
export function retryable(error: unknown, phase: TxPhase): boolean {
	const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
	if (code === "40001" || code === "40P01") return true;
	return phase !== "commit" && isConnectionFault(error);
}

const retriesDefault = 3;
const backoff = { baseMs: 20, capMs: 500 };

/** The transaction runner over a pool of its own. */
export interface TxRunner {
	run<T>(work: (tx: Tx) => Promise<T>, options?: TxOptions): Promise<T>;
	/** Waits until no transaction runs, at most this long. */
	drain(deadlineMs: number): Promise<void>;
}

/** Makes the runner; at most `max` transactions run at once, the others wait in order. */
export function createTx(sql: postgres.Sql<{ bigint: bigint }>, max: number, log: Log): TxRunner {
	let running = 0;
	const waiting: (() => void)[] = [];

	async function enter(): Promise<void> {
		if (running < max) {
			running++;
			return;
		}
		await new Promise<void>((resolve) => {
			waiting.push(resolve);
		});
	}

	function leave(): void {
		const next = waiting.shift();
		if (next === undefined) running--;
		else next();
	}

	async function once<T>(work: (tx: Tx) => Promise<T>, isolation: string, reached: (phase: TxPhase) => void): Promise<T> {
		const result = await sql.begin(`isolation level ${isolation}`, async (tx) => {
			reached("work");
			const value = await work(tx as unknown as Tx);
			reached("commit");
			return { value };
		});
		return result.value as T;
	}

	return {
		async run(work, options = {}) {
			const retries = options.retries ?? retriesDefault;
			await enter();
			try {
				for (let attempt = 0; ; attempt++) {
					let phase: TxPhase = "begin";
					try {
						return await once(work, options.isolation ?? "read committed", (reached) => {
							phase = reached;
						});
					} catch (error) {
						if (attempt >= retries || !retryable(error, phase)) throw error;
						log.debug("db.transaction_retried", { attempt, phase, error });
						await wait(fullJitter(backoff, attempt, systemRandom.fraction()));
					}
				}
			} finally {
				leave();
			}
		},
		async drain(deadlineMs) {
			const end = performance.now() + deadlineMs;
			while (running > 0 && performance.now() < end) await wait(20);
		},
	};
}
