import type { WorkerPrincipal } from "../auth/principal.ts";
import { isCredentialLive } from "../auth/store.ts";
import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { hostsByIds } from "../hosts/store.ts";
import type { LeaveSignal } from "../lib/leaving.ts";
import type { CommandFrame } from "../protocol/commands.ts";
import { refusalOf } from "./allowed.ts";
import { followedMax, lockWithHost } from "./commands.ts";
import { recordEnd } from "./ends.ts";
import { holdsStream, markHanded, takeInput, takeStream, workOf } from "./hand-out-store.ts";
import type { CommandHub } from "./hub.ts";
import { fullParams } from "./params.ts";
import { commandsByIds, hint } from "./store.ts";

/**
 * Commands of the free lane that one host works at beside each other: short ones, and those that are followed, which hold back no short one. Each may
 * have four chunks of output on the worker's socket: twenty have 80 of the operations that it may run (`operationsPerSocketMax`).
 */
const freeLane = { short: 10, followed: followedMax };
/** Pieces of input taken at a time: 16 of 48 KiB. */
const inputMax = 16;

/** What one stream has told its worker of a command. */
interface Told {
	cancelled: boolean;
}

/**
 * A worker's orders, for as long as it listens: all that have not ended, in their order, and then new ones as they come, whichever server they are
 * made on. The ordered lane is given one at a time, the next after the former's end. A newer stream of the same worker ends this one with CONFLICT.
 * At least once: a worker knows by `commandId` what it had before. Input for stdin is given at most once.
 */
export async function* ordersOf(deps: Deps, hub: CommandHub, worker: WorkerPrincipal, signal: LeaveSignal): AsyncGenerator<CommandFrame> {
	const { tenantId, workerId } = worker;
	const { sql } = deps.db;
	const stream = Buffer.from(deps.random.bytes(16)).toString("hex");
	const bell = hub.bell("w", workerId, tenantId);
	const told = new Map<string, Told>();
	try {
		if (!(await takeStream(sql, tenantId, workerId, stream))) throw new MusterError("FORBIDDEN", "Only an active worker is given commands");
		await hint(sql, ["w", workerId]);
		while (!signal.aborted) {
			if (!(await holdsStream(sql, tenantId, workerId, stream)) || !(await isCredentialLive(sql, worker)))
				throw new MusterError("CONFLICT", "Another subscription of this worker took over, or its credential ended");
			const work = await workOf(sql, tenantId, workerId, freeLane);
			let idle = true;
			for (const frame of await frames(deps, worker, told, work)) {
				idle = false;
				yield frame;
			}
			for (const { id, isCancelled } of work) {
				const known = told.get(id);
				if (known === undefined) {
					// Before its order: of a worker that never had it nothing may be begun any more. One that had it is told again after it.
					if (isCancelled) yield frameOf("CANCEL", id);
					const order = await handOut(deps, tenantId, id);
					idle = false;
					if (order === undefined) continue;
					told.set(id, { cancelled: false });
					yield order;
				} else if (isCancelled && !known.cancelled) {
					idle = false;
					known.cancelled = true;
					yield frameOf("CANCEL", id);
				}
			}
			if (idle) await bell.wait(signal);
		}
	} finally {
		bell.close();
	}
}

/** What there is to tell of commands that the worker has: those that ended without it, and input. */
async function frames(
	deps: Deps,
	{ tenantId }: WorkerPrincipal,
	told: Map<string, Told>,
	work: readonly { readonly id: string; readonly takesInput: boolean }[],
): Promise<CommandFrame[]> {
	const { sql } = deps.db;
	const now = new Set(work.map(({ id }) => id));
	const gone = [...told.keys()].filter((id) => !now.has(id));
	const ended = gone.length === 0 ? [] : await commandsByIds(sql, tenantId, gone);
	const cancels = ended.flatMap(({ id, state }) =>
		(state === "EXPIRED" || state === "CANCELLED") && told.get(id)?.cancelled === false ? [frameOf("CANCEL", id)] : [],
	);
	for (const id of gone) told.delete(id);
	const typed = work.flatMap(({ id, takesInput }) => (takesInput && told.has(id) ? [id] : []));
	const pieces = typed.length === 0 ? [] : await takeInput(sql, tenantId, typed, inputMax);
	return [
		...cancels,
		...pieces.map(({ commandId, data, isEnd }) => ({
			...frameOf("INPUT", commandId),
			data: Buffer.from(data).toString("base64"),
			end: isEnd,
		})),
	];
}

/**
 * A command as an order, noted as given. Undefined when there is none to give: it has ended, or ends here, because its time is over, because its
 * host's state forbids it now (H12), or because its parameters do not open. One that was given before is given again whatever the state: the worker knows what it did.
 */
async function handOut(deps: Deps, tenantId: string, id: string): Promise<CommandFrame | undefined> {
	return deps.db.tx(async (tx) => {
		const command = await lockWithHost(tx, tenantId, id);
		if (command === undefined || command.endedAt !== null) return undefined;
		const now = deps.clock.now();
		if (command.handedAt === null) {
			if (command.deadlineAt <= now) {
				await recordEnd(tx, deps, command, { state: "EXPIRED", message: "Its time was over before the worker could begin" }, "server");
				return undefined;
			}
			const [host] = await hostsByIds(tx, tenantId, [command.hostId]);
			const refusal = host === undefined ? "its host is gone" : refusalOf(command.kind, host);
			if (refusal !== undefined) {
				await recordEnd(tx, deps, command, { state: "FAILED", code: "not_fused", message: `Not handed out: ${refusal}` }, "server");
				return undefined;
			}
		}
		const full = fullParams(deps, command, await markHanded(tx, tenantId, id, now));
		if (full.kind === "closed") {
			await recordEnd(tx, deps, command, full.end, "server");
			return undefined;
		}
		return { ...frameOf("ORDER", id), kind: command.kind, params: full.params, deadline: new Date(command.deadlineAt).toISOString() };
	});
}

function frameOf(type: CommandFrame["type"], commandId: string): CommandFrame {
	return { type, commandId, kind: null, params: null, deadline: null, data: null, end: null };
}
