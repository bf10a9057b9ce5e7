import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import type { CommandEnd, CommandRecord } from "./command.ts";
import { cancelCommand, lockWithHost } from "./commands.ts";
import { recordEnd } from "./ends.ts";
import { type CommandPlace, dueCommands, orphanedCommands, pruneCommands, pruneStreams, queueOf, unreadCommands } from "./sweep-store.ts";

/** Commands ended in one step of the sweep; the rest follow in the next. */
const stepMax = 200;
/** The worker ends what streams at the deadline itself; it gets this long to say so. */
const graceSeconds = 60;

/**
 * Ends the commands that nobody else ends: EXPIRED past their deadline (H13), CANCELLED when their host or worker is gone, and those that lived for a
 * reader who is gone; and removes what ended a week ago. Several servers may do it at once: a command's lock decides, and its first end stands. Bounded.
 */
export async function sweepCommands(deps: Deps, pruneMax: number): Promise<void> {
	const { sql } = deps.db;
	const orphaned: CommandEnd = { state: "CANCELLED", message: "Its host was deleted or has another worker, or its worker was revoked" };
	await each(deps, await orphanedCommands(sql, stepMax), (tx, command) => recordEnd(tx, deps, command, orphaned, "server"));
	const expired: CommandEnd = { state: "EXPIRED", message: "Its time was over before it ended" };
	await each(deps, await dueCommands(sql, deps.clock.now(), graceSeconds, stepMax), (tx, command) =>
		recordEnd(tx, deps, command, expired, "server"),
	);
	await each(deps, await unreadCommands(sql, stepMax), (tx, { tenantId, id }) =>
		cancelCommand(deps, tx, { tenantId, id, actor: "server" }),
	);
	await pruneCommands(sql, pruneMax);
	await pruneStreams(sql, pruneMax);
	const queue = await queueOf(sql);
	deps.metrics.commandQueue(queue.depth, queue.ageSeconds);
}

/** One transaction each, so that a handler that fails holds back its own command only. */
async function each(deps: Deps, places: readonly CommandPlace[], end: (tx: Tx, command: CommandRecord) => Promise<unknown>): Promise<void> {
	for (const { tenantId, id } of places) {
		try {
			await deps.db.tx(async (tx) => {
				const command = await lockWithHost(tx, tenantId, id);
				if (command !== undefined && command.endedAt === null) await end(tx, command);
			});
		} catch (error) {
			deps.log.warn("commands.sweep_failed", { commandId: id, error });
		}
	}
}
