import type { Db, Tx } from "../db/port.ts";

const waiting = new WeakMap<Tx, (() => void)[]>();

/** The same database, whose transactions do what `afterCommit` was told once they have committed: once, however often they were begun anew. */
export function withAfterCommit(db: Db): Db {
	return {
		sql: db.sql,
		listen: (channel, onEvent, onGap) => db.listen(channel, onEvent, onGap),
		ping: (deadlineMs) => db.ping(deadlineMs),
		close: (deadlineMs) => db.close(deadlineMs),
		async tx(work, options) {
			let told: (() => void)[] = [];
			const value = await db.tx((tx) => {
				// What an attempt that was rolled back had told is forgotten with it.
				told = [];
				waiting.set(tx, told);
				return work(tx);
			}, options);
			for (const tell of told) tell();
			return value;
		},
	};
}

/**
 * Has something counted once the transaction has committed, and not at all when it is rolled back or nobody knows; at once when its database was not
 * given to `withAfterCommit`: no change fails for a figure. `tell` must not throw.
 */
export function afterCommit(tx: Tx, tell: () => void): void {
	const told = waiting.get(tx);
	if (told === undefined) tell();
	else told.push(tell);
}
