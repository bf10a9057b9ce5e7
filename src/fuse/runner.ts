/**
 * Commands of hosts that are fused by Portainer, done by a server through Portainer's proxy in place of the worker. A lease has each done by one
 * server; one that dies leaves a lease that ends, and the next finds out how far the command came. `perform.ts` acts, this file takes turns.
 */
import { clearInterval, setInterval, setTimeout } from "node:timers";
import type { CommandEnd, CommandRecord } from "../commands/command.ts";
import { lockWithHost } from "../commands/commands.ts";
import { changed, recordEnd } from "../commands/ends.ts";
import { markHanded } from "../commands/hand-out-store.ts";
import type { CommandHub } from "../commands/hub.ts";
import { transition } from "../commands/lifecycle.ts";
import { fullParams } from "../commands/params.ts";
import { takeOutput } from "../commands/output.ts";
import { saveState } from "../commands/store.ts";
import type { Deps } from "../deps.ts";
import { type Engine, openEngine } from "../engine/engine.ts";
import { EngineError } from "../engine/error.ts";
import { engineInfo } from "../engine/info.ts";
import { append } from "../events/outbox.ts";
import { within } from "../lib/within.ts";
import { perform } from "./perform.ts";
import type { PortainerPlace } from "./portainer-client.ts";
import { portainerTransport } from "./portainer-transport.ts";
import { claimRun, holdsRun, releaseRun, renewRun, type Run } from "./run-store.ts";
import { lockLiveFusion } from "./store.ts";

/** The runner of one server process. */
export interface FuseRunner {
	/** Takes no more turns, cuts off those under way and gives them back. Safe to repeat. */
	close(): Promise<void>;
}

const pollMs = 500;
const runsMax = 8;
const leaseSeconds = 30;
/** Several times a lease: a turn is not lost to one slow answer of the database. It is also how soon a cancellation is seen. */
const renewMs = 1_000;
/** A turn that was not renewed for so long is given up: it must have ended before another server may take it. */
const keptMs = (leaseSeconds - 5) * 1_000;
/** The tunnel of an agent that was idle is opened by the first call, which may find it too slow. */
const connects = { times: 3, afterMs: 1_000, eachMs: 30_000 };
/** Numbers of output that one turn has: the next begins behind them. */
const sequencesARun = 1_000_000;
const chunkBytes = 32 * 1024;
const closeMs = 2_000;

/** Why a run was cut off. */
class Cut extends Error {
	readonly why: "cancelled" | "expired" | "lost" | "stopping";
	constructor(why: Cut["why"]) {
		super(why);
		this.why = why;
	}
}

/** Starts it; without a Portainer there is nothing to do. */
export function openFuseRunner(deps: Deps, hub: CommandHub): FuseRunner {
	const place = deps.settings.portainer;
	const closing = new AbortController();
	const underWay = new Set<Promise<void>>();
	let claiming: Promise<void> | undefined;

	async function claim(at: PortainerPlace): Promise<void> {
		while (underWay.size < runsMax && !closing.signal.aborted) {
			const turn = await claimRun(deps.db.sql, leaseSeconds);
			if (turn === undefined) return;
			const work = takeTurn(deps, hub, at, turn, closing.signal)
				.catch((error: unknown) => deps.log.warn("fuse.run_failed", { commandId: turn.commandId, error }))
				.finally(() => underWay.delete(work));
			underWay.add(work);
		}
	}

	const timer =
		place === null
			? undefined
			: setInterval(() => {
					claiming ??= claim(place)
						.catch((error: unknown) => deps.log.warn("fuse.claim_failed", { error }))
						.finally(() => {
							claiming = undefined;
						});
				}, pollMs);
	return {
		async close() {
			clearInterval(timer);
			closing.abort(new Cut("stopping"));
			await claiming;
			await within(Promise.all(underWay), closeMs);
		},
	};
}

/** One turn at a command, from its beginning to its end or until it is given back. */
async function takeTurn(deps: Deps, hub: CommandHub, place: PortainerPlace, turn: Run, closing: AbortSignal): Promise<void> {
	const { sql } = deps.db;
	let keptSince = deps.clock.monotonic();
	const begun = await begin(deps, turn);
	if (begun === undefined) return;
	const { command, params, environmentId, engineId } = begun;
	const cut = new AbortController();
	const signal = AbortSignal.any([closing, cut.signal]);
	let renewing: Promise<void> | undefined;
	const renewal = setInterval(() => {
		const asked = deps.clock.monotonic();
		if (deps.clock.now() >= command.deadlineAt) cut.abort(new Cut("expired"));
		if (asked - keptSince >= keptMs && !cut.signal.aborted) {
			deps.log.warn("fuse.turn_not_kept", { commandId: turn.commandId });
			cut.abort(new Cut("lost"));
		}
		renewing ??= renewRun(sql, turn, leaseSeconds)
			.then((held) => {
				keptSince = Math.max(keptSince, asked);
				if (held === undefined) cut.abort(new Cut("lost"));
				else if (held.isCancelled) cut.abort(new Cut("cancelled"));
			})
			.catch((error: unknown) => deps.log.warn("fuse.renew_failed", { commandId: turn.commandId, error }))
			.finally(() => {
				renewing = undefined;
			});
	}, renewMs);
	const output = outputOf(deps, hub, command, turn);
	let end: CommandEnd | undefined;
	try {
		const engine = await connect(place, environmentId, signal);
		const { id: commandId, kind } = command;
		const { id: found } = await engineInfo(engine, { signal });
		if (found === engineId) {
			const result = await perform(engine, { commandId, kind, params, again: turn.runs > 1, signal, say: output.say });
			await output.done();
			end = { state: "SUCCEEDED", result };
		} else {
			const message = `The host is fused to engine "${engineId}", and Portainer's agent is at engine "${found}": unfuse it and fuse it anew`;
			end = { state: "FAILED", code: "not_fused", message };
		}
	} catch (error) {
		end = endOf(signal.aborted ? signal.reason : error);
	} finally {
		clearInterval(renewal);
	}
	if (end === undefined) {
		// One that comes late would take the turn again.
		await renewing;
		return releaseRun(sql, turn);
	}
	const decided = end;
	await deps.db.tx(async (tx) => {
		const now = await lockWithHost(tx, turn.tenantId, turn.commandId);
		if (now !== undefined && (await holdsRun(tx, turn))) await recordEnd(tx, deps, now, decided, "server");
	});
}

/** A command that is under way, and what its host is fused to. */
interface Begun {
	readonly command: CommandRecord;
	readonly params: unknown;
	readonly environmentId: number;
	readonly engineId: string | null;
}

/** Notes that the command is under way. Undefined when there is none to do: it ended, or ends here since its host's fusion is over. */
async function begin(deps: Deps, turn: Run): Promise<Begun | undefined> {
	const { tenantId, commandId } = turn;
	return deps.db.tx(async (tx) => {
		const command = await lockWithHost(tx, tenantId, commandId);
		if (command === undefined || command.endedAt !== null) return undefined;
		const fusion = await lockLiveFusion(tx, tenantId, command.hostId);
		const now = deps.clock.now();
		const end = endBefore(command, now, fusion?.step === "FUSED" ? fusion.environmentId : null);
		if (end !== undefined) {
			await recordEnd(tx, deps, command, end, "server");
			return undefined;
		}
		const full = fullParams(deps, command, await markHanded(tx, tenantId, commandId, now));
		if (full.kind === "closed") {
			await recordEnd(tx, deps, command, full.end, "server");
			return undefined;
		}
		const state = transition(command.state, "start");
		const running = state === undefined ? command : { ...command, state, startedAt: now };
		if (state !== undefined) {
			await saveState(tx, running);
			await append(tx, [changed(running)]);
		}
		return { command: running, params: full.params, environmentId: fusion?.environmentId ?? 0, engineId: fusion?.engineId ?? null };
	});
}

/** Why a command ends before it is begun. Pure. */
function endBefore(command: CommandRecord, now: number, environmentId: number | null): CommandEnd | undefined {
	if (command.cancelRequestedAt !== null) return { state: "CANCELLED", message: null };
	if (command.deadlineAt <= now) return { state: "EXPIRED", message: "Its time was over before a server could begin" };
	if (environmentId === null) return { state: "FAILED", code: "not_fused", message: "The host is not fused by Portainer any more" };
	return undefined;
}

async function connect(place: PortainerPlace, environmentId: number, signal: AbortSignal): Promise<Engine> {
	for (let tried = 1; ; tried++) {
		try {
			const limited = AbortSignal.any([signal, AbortSignal.timeout(connects.eachMs)]);
			return await openEngine(portainerTransport(place, environmentId), { signal: limited });
		} catch (error) {
			signal.throwIfAborted();
			const mayCome = !(error instanceof EngineError) || error.code === "docker_unavailable";
			if (!mayCome || tried >= connects.times) throw error;
			await new Promise((resolve) => setTimeout(resolve, connects.afterMs));
		}
	}
}

/** What an error makes of a command; undefined: the turn goes to another server. Pure. */
function endOf(error: unknown): CommandEnd | undefined {
	if (error instanceof Cut) {
		if (error.why === "cancelled") return { state: "CANCELLED", message: "Cancelled while a server was at it" };
		if (error.why === "expired") return { state: "EXPIRED", message: "Its time was over before it ended" };
		return undefined;
	}
	if (error instanceof EngineError) return { state: "FAILED", code: error.code, message: error.message };
	const message = error instanceof Error ? error.message : String(error);
	if (error instanceof DOMException)
		return { state: "FAILED", code: "docker_unavailable", message: `Portainer did not answer: ${message}` };
	return { state: "FAILED", code: "internal", message };
}

/** Where a run's lines go: to the command's output, one after the other. */
function outputOf(deps: Deps, hub: CommandHub, { id: commandId, tenantId, workerId }: CommandRecord, { runs }: Run) {
	let sequence = (runs - 1) * sequencesARun;
	let sent: Promise<unknown> = Promise.resolve();
	return {
		say: (line: string): void => {
			const data = Buffer.from(`${line}\n`).subarray(0, chunkBytes).toString("base64");
			const chunk = { commandId, sequence: sequence++, stream: "STDOUT", data };
			// Output that cannot be stored is lost; the change it tells of is not.
			sent = sent
				.then(() => takeOutput(deps, hub, { tenantId, workerId }, chunk))
				.catch((error: unknown) => deps.log.warn("fuse.output_lost", { commandId, error }));
		},
		done: () => sent,
	};
}
