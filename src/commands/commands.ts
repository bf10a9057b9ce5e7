import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { lockHosts } from "../hosts/store.ts";
import { type CommandKind, commandKinds, commandParams } from "../protocol/commands.ts";
import { refusalOf } from "./allowed.ts";
import { type CommandRecord, deadlineMsMax, defaultDeadlineMs, followsReader, type NewCommand, paramsPlace } from "./command.ts";
import { changed, recordEnd } from "./ends.ts";
import { masked } from "./mask.ts";
import { commandsByIds, countUnfinished, hint, insertCommand, lockCommand, saveState } from "./store.ts";
import { storable } from "./storable.ts";

/** Commands of one host that may wait and run at once: an ordered lane of hundreds is somebody's mistake. */
export const unfinishedMax = 256;
/** Logs that are followed and programs that are typed into, of one host at once: one more would only wait, and nobody could see for what. */
export const followedMax = 10;
/** A container's whole specification has a few kilobytes. */
export const paramsBytesMax = 256 * 1_024;
/** How long output that is followed waits for its first reader. */
const firstReaderMs = 300_000;

/**
 * Queues a command: its row, audit line and event in the caller's transaction, and a hint to the server that has the worker. Locks the host, which
 * must be the worker's. BAD_USER_INPUT for parameters that are not the kind's, NOT_FOUND without such a host, CONFLICT when the host's state forbids
 * it (H12), too many wait already or too many are followed; the steps of a fusion do not count. A DEGRADED host's wait for its return (H13).
 */
export async function enqueueCommand(deps: Deps, tx: Tx, command: NewCommand): Promise<CommandRecord> {
	const { tenantId, hostId, workerId, kind, actor } = command;
	const params = checkedParams(command);
	const [host] = (await lockHosts(tx, [hostId])).filter((one) => one.tenantId === tenantId);
	if (host === undefined) throw notFound("host", hostId);
	if (host.workerId !== workerId)
		throw new MusterError("CONFLICT", `Cannot queue ${kind}: host "${host.name}" has no worker, or another one; look at the host again`);
	const refusal = refusalOf(kind, host);
	if (refusal !== undefined) throw new MusterError("CONFLICT", `Cannot queue ${kind}: ${refusal}`);
	const follows = followsReader(kind, params);
	const unfinished = isPartOfFusing(kind) ? undefined : await countUnfinished(tx, tenantId, workerId);
	if (unfinished !== undefined && unfinished.total >= unfinishedMax) {
		const remedy = "wait for some to end, or cancel some (cancelCommand)";
		throw new MusterError(
			"CONFLICT",
			`Cannot queue ${kind}: host "${host.name}" has ${unfinishedMax} commands that have not ended; ${remedy}`,
		);
	}
	if (follows && unfinished !== undefined && unfinished.followed >= followedMax) {
		const remedy = "end one (close its view, or cancelCommand), or read without following";
		throw new MusterError(
			"CONFLICT",
			`Cannot queue ${kind}: ${followedMax} logs and programs of host "${host.name}" are followed, the most at once; ${remedy}`,
		);
	}
	const at = deps.clock.now();
	const shown = masked(params);
	const [full, visible] = [JSON.stringify(params), JSON.stringify(shown)];
	const id = deps.mintId("command");
	const queued: CommandRecord = {
		id,
		tenantId,
		hostId,
		workerId,
		kind,
		lane: commandKinds[kind].lane,
		state: "QUEUED",
		params: shown,
		requestedBy: actor,
		requestedAt: at,
		deadlineAt: Math.min(command.deadlineAt ?? at + defaultDeadlineMs(kind, params), at + deadlineMsMax),
		handedAt: null,
		startedAt: null,
		cancelRequestedAt: null,
		endedAt: null,
		result: null,
		errorCode: null,
		errorMessage: null,
		follows,
	};
	const sealed = full === visible ? null : deps.vault.seal(full, paramsPlace(id));
	// What changes a host that is fused by Portainer goes through Portainer's proxy, which servers ask (src/fuse).
	const byServer = commandKinds[kind].needs === "fused" && host.fuseProvider === "PORTAINER";
	await insertCommand(tx, queued, sealed, follows ? at + firstReaderMs : null, byServer);
	const detail = { command: id, params: shown };
	await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: `${kind}.requested`, subject: hostId, detail }]);
	await append(tx, [changed(queued)]);
	await hint(tx, ["w", workerId]);
	return queued;
}

/** What a fusion goes on and is undone with: nobody may hold that up by filling the host's queue (H11). Its beginning is asked for by people. */
function isPartOfFusing(kind: CommandKind): boolean {
	const { needs } = commandKinds[kind];
	return needs === "none" || (needs === "fusing" && kind !== "fuse.prove");
}

function checkedParams({ kind, params }: NewCommand): Record<string, unknown> {
	const result = v.safeParse(commandParams[kind] as v.GenericSchema<unknown, Record<string, unknown>>, storable(params));
	if (!result.success) {
		const problems = result.issues.map((issue) => `${v.getDotPath(issue) ?? "params"}: ${issue.message}`);
		throw new MusterError("BAD_USER_INPUT", `Cannot queue ${kind}: ${problems.join("; ")}`);
	}
	const bytes = Buffer.byteLength(JSON.stringify(result.output));
	if (bytes > paramsBytesMax)
		throw new MusterError("BAD_USER_INPUT", `Cannot queue ${kind}: its parameters have ${bytes} bytes, ${paramsBytesMax} are the most`);
	return result.output;
}

/**
 * Asks for a command's end. One that no worker was given ends at once; of others the worker is told, and ends it. Safe to repeat; what has ended
 * stays as it is. NOT_FOUND when there is none.
 */
export async function cancelCommand(
	deps: Deps,
	tx: Tx,
	{ tenantId, id, actor }: { readonly tenantId: string; readonly id: string; readonly actor: string },
): Promise<CommandRecord> {
	const command = await lockWithHost(tx, tenantId, id);
	if (command === undefined) throw notFound("command", id);
	if (command.endedAt !== null || command.cancelRequestedAt !== null) return command;
	if (command.handedAt === null) return (await recordEnd(tx, deps, command, { state: "CANCELLED", message: null }, actor)).command;
	const at = deps.clock.now();
	const asked = { ...command, cancelRequestedAt: at };
	await saveState(tx, asked);
	const detail = { kind: command.kind, hostId: command.hostId };
	await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "command.cancel_requested", subject: id, detail }]);
	await append(tx, [changed(asked)]);
	await hint(tx, ["w", command.workerId], ["r", id]);
	return asked;
}

/** Locks a command's host, which may be gone, and then the command: the order in which everybody takes them. */
export async function lockWithHost(tx: Tx, tenantId: string, id: string): Promise<CommandRecord | undefined> {
	const [found] = await commandsByIds(tx, tenantId, [id]);
	if (found === undefined) return undefined;
	await lockHosts(tx, [found.hostId]);
	return lockCommand(tx, tenantId, id);
}

export { onCommandEnd } from "./ends.ts";
