import * as v from "valibot";
import type { Log } from "../src/lib/log.ts";
import {
	type CommandFrame,
	type CommandKind,
	type CommandReport,
	commandFrame,
	commandKinds,
	commandsDocument,
	commandStates,
	outputReply,
	reportCommandDocument,
	sendOutputDocument,
} from "../src/protocol/commands.ts";
import { type CommandInput, commandInput } from "./commands-input.ts";
import type { CommandEnd } from "./commands-journal.ts";
import { type Lanes, lanes } from "./commands-lanes.ts";
import { outputSender } from "./commands-output.ts";
import { errorOf, isJournaled, type Order, perform, type RunDeps } from "./commands-run.ts";
import { knownKind, paramsProblem } from "./commands-table.ts";
import { reasonOf } from "./fatal.ts";
import type { Socket } from "./socket.ts";
import { isFinal, type Uplink } from "./uplink.ts";

/** What the executor needs. */
export interface CommandsDeps extends RunDeps {
	readonly uplink: Uplink;
	readonly log: Log;
	/** Is told of each end, once. */
	readonly counted: (kind: CommandKind | null, state: CommandEnd["state"]) => void;
}

interface Live {
	readonly order: Order;
	readonly input: CommandInput;
	readonly ending: AbortController;
	state: "waiting" | "running" | "ended";
}

/** Logs that are followed and execs, beside each other; each holds a connection to Docker and some 250 KB of output at most. */
const freeMax = 64;
const waitingMax = 256;
const frameShape = v.object({ commands: commandFrame });
const stateReply = v.object({ reportCommand: v.object({ state: v.picklist(commandStates) }) });
const stopping = "stopping";
const deliveriesMax = 4;
/** After the server ended the stream of commands, as it does when it has a fault. */
const listenAgainMs = 5_000;
/** What the server keeps of a result, less what JSON adds on its way. */
const resultBytesMax = 250_000;
/** Timers hold no more. */
const timerMsMax = 2 ** 31 - 1;

/**
 * Takes the server's commands and does them: `ordered` ones one after the other, `free` ones beside each other, each at most once whatever crashes
 * and however often it is told (H12). Ends are reported until the server answers, over as many connections as that takes.
 */
export class Commands {
	readonly #deps: CommandsDeps;
	readonly #lanes: Lanes = lanes(freeMax, waitingMax);
	readonly #deliveries: Lanes = lanes(deliveriesMax, Number.POSITIVE_INFINITY);
	readonly #live = new Map<string, Live>();
	readonly #delivering = new Set<string>();
	readonly #ending = new AbortController();

	constructor(deps: CommandsDeps) {
		this.#deps = deps;
	}

	/** Takes commands over a connection that the server let in. */
	opened(socket: Socket): void {
		this.#listen(socket);
		for (const { id, end } of this.#deps.journal.unacknowledged()) if (end !== null) void this.#deliver(id, end);
		for (const live of this.#live.values()) if (live.state === "running") void this.#reportRunning(live);
	}

	/** The connection has gone. What has not begun is forgotten: it comes again with the next, unless it was cancelled meanwhile. */
	closed(): void {
		for (const [id, live] of this.#live) {
			if (live.state !== "waiting") continue;
			live.state = "ended";
			this.#live.delete(id);
		}
	}

	/** Begins nothing more and ends what streams, at once. What is under way stands in the journal for the next worker. */
	stop(): void {
		this.#ending.abort(stopping);
		this.#lanes.stop();
		for (const { ending } of this.#live.values()) ending.abort(stopping);
	}

	#listen(socket: Socket): void {
		const { log, timers, uplink } = this.#deps;
		socket.listen(commandsDocument, {
			next: (data) => {
				const parsed = v.safeParse(frameShape, data);
				if (parsed.success && !this.#ending.signal.aborted) this.#receive(parsed.output.commands);
			},
			ended: (refused) => {
				if (uplink.socket !== socket || this.#ending.signal.aborted) return;
				log.debug("commands.ended", { why: refused?.message ?? "the server ended them" });
				// A server of before this version knows no commands.
				if (isFinal(refused)) return;
				this.closed();
				const cancel = timers.after(listenAgainMs, () => {
					if (uplink.socket === socket) this.#listen(socket);
				});
				this.#ending.signal.addEventListener("abort", cancel, { once: true });
			},
		});
	}

	#receive(frame: CommandFrame): void {
		try {
			if (frame.type === "ORDER") this.#order(frame);
			else if (frame.type === "CANCEL") this.#cancel(frame.commandId);
			else this.#feed(frame);
		} catch (error) {
			// The disk refuses the journal: nothing is done that could not be remembered.
			this.#deps.log.error("command.failed", { commandId: frame.commandId, why: reasonOf(error) });
			void this.#deliver(frame.commandId, { state: "FAILED", error: errorOf(error) });
		}
	}

	#order({ commandId: id, kind: name, params, deadline }: CommandFrame): void {
		if (this.#live.has(id)) return;
		const known = this.#deps.journal.get(id);
		if (known?.end) return void this.#deliver(id, known.end);
		const kind = knownKind(name);
		if (kind === undefined) {
			this.#refuse(id, null, "bad_request", `Cannot do ${JSON.stringify(name)}: this worker does not know it, update it`);
			return;
		}
		const problem = paramsProblem(kind, params);
		if (problem !== undefined) {
			this.#refuse(id, kind, "bad_request", problem);
			return;
		}
		const deadlineMs = deadline === null ? undefined : Date.parse(deadline);
		const live: Live = { order: { id, kind, params, deadlineMs }, input: commandInput(), ending: new AbortController(), state: "waiting" };
		this.#live.set(id, live);
		if (this.#lanes.add(commandKinds[kind].lane, () => this.#run(live))) return;
		this.#live.delete(id);
		this.#refuse(id, kind, "conflict", "Cannot do this now: too many commands wait on this host already, try again later");
	}

	#refuse(id: string, kind: CommandKind | null, code: "bad_request" | "conflict", message: string): void {
		this.#settle(id, kind, { state: "FAILED", error: { code, message } });
	}

	#cancel(id: string): void {
		const live = this.#live.get(id);
		if (live === undefined) {
			const known = this.#deps.journal.get(id);
			if (known?.end) void this.#deliver(id, known.end);
			// What a former worker began comes as an order too, and is looked into then.
			else if (known === undefined) this.#settle(id, null, { state: "CANCELLED" });
		} else if (live.state === "waiting") {
			live.state = "ended";
			this.#live.delete(id);
			this.#settle(id, live.order.kind, { state: "CANCELLED" });
		} else if (commandKinds[live.order.kind].streams) {
			live.ending.abort("cancelled");
		}
	}

	#feed({ commandId, data, end }: CommandFrame): void {
		const live = this.#live.get(commandId);
		if (live === undefined) return;
		if (data !== null && !live.input.push(Buffer.from(data, "base64"))) live.ending.abort("its input is not read");
		if (end === true) live.input.end();
	}

	async #run(live: Live): Promise<void> {
		const { order } = live;
		if (live.state !== "waiting") return;
		if (order.deadlineMs !== undefined && order.deadlineMs <= this.#deps.clock.now()) {
			this.#live.delete(order.id);
			// The server ends it by itself.
			return this.#deps.log.warn("command.late", { commandId: order.id, kind: order.kind });
		}
		live.state = "running";
		this.#deps.log.info("command.begun", { commandId: order.id, kind: order.kind });
		let running: Promise<void> | undefined;
		const { streams } = commandKinds[order.kind];
		const left = order.deadlineMs === undefined ? undefined : order.deadlineMs - this.#deps.clock.now();
		const calm =
			streams && left !== undefined
				? this.#deps.timers.after(Math.min(left, timerMsMax), () => live.ending.abort("past its deadline"))
				: undefined;
		const output = outputSender(
			order.id,
			(chunk) => this.#send(chunk, live.ending.signal),
			() => live.ending.abort("nobody wants its output"),
		);
		// What does not stream is not ended half-way: nobody could say how far it came.
		const signal = streams ? live.ending.signal : this.#ending.signal;
		const end = await this.#attempt(order, { output, input: live.input, signal }, () => {
			running ??= this.#reportRunning(live);
		});
		calm?.();
		live.state = "ended";
		if (this.#ending.signal.aborted) return;
		const settled = this.#note(order.id, order.kind, end);
		// The next in the lane does not wait for the server.
		void (async () => {
			if (!live.ending.signal.aborted) await output.finish().catch(() => {});
			await running;
			await this.#deliver(order.id, settled);
			this.#live.delete(order.id);
		})();
	}

	async #attempt(order: Order, streams: Parameters<typeof perform>[2], began: () => void): Promise<CommandEnd> {
		try {
			const result = await perform(this.#deps, order, streams, began);
			const bytes = Buffer.byteLength(JSON.stringify(result ?? null));
			if (bytes <= resultBytesMax) return { state: "SUCCEEDED", result };
			return { state: "FAILED", error: { code: "docker_error", message: `Docker's answer has ${bytes} bytes, more than is kept` } };
		} catch (error) {
			if (streams.signal.aborted) return { state: "CANCELLED" };
			return { state: "FAILED", error: errorOf(error) };
		}
	}

	/** Notes an end that needs no more than to be told. */
	#settle(id: string, kind: CommandKind | null, end: CommandEnd): void {
		void this.#deliver(id, this.#note(id, kind, end));
	}

	/** Keeps an end before anyone is told, and counts it. */
	#note(id: string, kind: CommandKind | null, end: CommandEnd): CommandEnd {
		const { log, journal, counted } = this.#deps;
		counted(kind, end.state);
		log.info("command.ended", { commandId: id, kind, state: end.state, ...(end.error === undefined ? {} : { why: end.error.message }) });
		try {
			if (kind === null || isJournaled(kind)) journal.end(id, kind, end);
		} catch (error) {
			log.error("command.not_kept", { commandId: id, why: reasonOf(error) });
		}
		return end;
	}

	/** A few at a time: after a long silence there may be hundreds of ends, and a socket takes 64 requests. */
	#deliver(id: string, end: CommandEnd): Promise<void> {
		if (this.#delivering.has(id)) return Promise.resolve();
		this.#delivering.add(id);
		return new Promise((resolve) => {
			const task = async () => {
				try {
					await this.#deps.uplink.insist(reportCommandDocument, reportOf(id, end), this.#ending.signal);
					this.#deps.journal.acknowledge(id);
				} catch {
					// The worker ends; the next one tells.
				}
				this.#delivering.delete(id);
				resolve();
			};
			this.#deliveries.add("free", task);
		});
	}

	/** Says that it runs, and ends it when the server says that it has ended already. */
	async #reportRunning(live: Live): Promise<void> {
		const report: CommandReport = { commandId: live.order.id, state: "RUNNING" };
		try {
			const reply = v.safeParse(stateReply, await this.#deps.uplink.insist(reportCommandDocument, report, live.ending.signal));
			const over = reply.success && reply.output.reportCommand.state !== "RUNNING" && live.state === "running";
			if (over && commandKinds[live.order.kind].streams) live.ending.abort("the server has ended it");
		} catch {
			// It has ended meanwhile.
		}
	}

	/** Whether more is wanted after this chunk. Rejects when the command ends first. */
	async #send(chunk: object, signal: AbortSignal): Promise<boolean> {
		const reply = await this.#deps.uplink.insist(sendOutputDocument, chunk, signal);
		if (isFinal(reply)) return false;
		const parsed = v.safeParse(v.object({ sendCommandOutput: outputReply }), reply);
		return !parsed.success || parsed.output.sendCommandOutput.wanted;
	}
}

function reportOf(commandId: string, { state, result, error }: CommandEnd): CommandReport {
	return { commandId, state, ...(result === undefined ? {} : { result }), ...(error === undefined ? {} : { error }) };
}
