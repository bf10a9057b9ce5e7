import { record } from "../audit/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { append } from "../events/outbox.ts";
import { afterCommit } from "../metrics/after-commit.ts";
import type { CommandKind } from "../protocol/commands.ts";
import type { CommandEnd, CommandRecord } from "./command.ts";
import { type CommandEvent, transition } from "./lifecycle.ts";
import { hint, saveState } from "./store.ts";
import { keptResult } from "./mask.ts";
import { storable, storableText } from "./storable.ts";

/** Called once for each command of its kind, in the transaction that records the end, whichever it is. What it throws undoes the end. */
export type CommandEndHandler = (tx: Tx, deps: Deps, command: CommandRecord) => Promise<void>;

const handlers = new Map<CommandKind, Set<CommandEndHandler>>();

/**
 * Has `handler` called when a command of this kind ends: SUCCEEDED, FAILED, CANCELLED or EXPIRED. The host's and the command's row are locked by then,
 * in this order. Registered by the composition root before anything runs. Returns what takes it back.
 */
export function onCommandEnd(kind: CommandKind, handler: CommandEndHandler): () => void {
	const known = handlers.get(kind) ?? new Set();
	handlers.set(kind, known.add(handler));
	return () => {
		known.delete(handler);
	};
}

const eventOf = { SUCCEEDED: "succeed", FAILED: "fail", CANCELLED: "cancel", EXPIRED: "expire" } as const satisfies Record<
	CommandEnd["state"],
	CommandEvent
>;
const messageCharactersMax = 4_096;

/**
 * Records how a command ended, with its audit line and event, and calls the handlers of its kind. The caller holds its host's lock and its own. The
 * first end stands: returns the command as it is after, and whether this end was the first.
 */
export async function recordEnd(
	tx: Tx,
	deps: Deps,
	command: CommandRecord,
	end: CommandEnd,
	actor: string,
): Promise<{ readonly command: CommandRecord; readonly first: boolean }> {
	const state = transition(command.state, eventOf[end.state]);
	if (state === undefined) return { command, first: false };
	const at = deps.clock.now();
	const message = "message" in end ? end.message : null;
	const ended: CommandRecord = {
		...command,
		state,
		endedAt: at,
		result: "result" in end ? (storable(keptResult(command.kind, end.result)) ?? null) : null,
		errorCode: end.state === "FAILED" ? end.code : null,
		errorMessage: message === null ? null : storableText(message, messageCharactersMax),
	};
	await saveState(tx, ended);
	const { tenantId, id, kind, hostId } = ended;
	const detail = { kind, hostId, ...(ended.errorCode === null ? {} : { error: ended.errorCode }) };
	await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: `command.${state.toLowerCase()}`, subject: id, detail }]);
	await append(tx, [changed(ended)]);
	await hint(tx, ["w", ended.workerId], ["o", id], ["r", id]);
	for (const handler of handlers.get(kind) ?? []) await handler(tx, deps, ended);
	afterCommit(tx, () => deps.metrics.commandEnded(kind, state));
	return { command: ended, first: true };
}

/** The event that tells of a command's new state. */
export function changed({ tenantId, id, hostId, state }: CommandRecord) {
	return { tenantId, event: { kind: "command", commandId: id, hostId, state } as const };
}
