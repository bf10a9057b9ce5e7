import type { ContainerStatsReport, EngineReport, HostEventReport } from "../src/protocol/commands.ts";
import { reportContainerStatsDocument, reportEngineDocument, reportHostEventsDocument } from "../src/protocol/commands.ts";
import { Refused, type Socket } from "./socket.ts";
import type { Timers } from "./timers.ts";

/** What came of a report: `refused` by this server, which would refuse it again; `unsent`: no connection, or the server had a fault. */
export type Sent = "answered" | "refused" | "unsent";

/** What the server says when asking again on the same connection would bring the same. */
const finalCodes = ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "FORBIDDEN", "UNAUTHENTICATED", "NOT_FOUND"];
/** Between two attempts while the server has a fault. */
const faultMs = 2_000;

/** The connection of the moment, for everything that is told beside heartbeats; nothing here delays one. */
export class Uplink {
	readonly #timers: Timers;
	#socket: Socket | undefined;
	#waiting: (() => void)[] = [];
	/** Reports that no server answered. */
	failures = 0;

	constructor(timers: Timers) {
		this.#timers = timers;
	}

	/** Undefined while there is none. */
	get socket(): Socket | undefined {
		return this.#socket;
	}

	/** Takes a connection that the server let in. */
	up(socket: Socket): void {
		this.#socket = socket;
		for (const wake of this.#waiting.splice(0)) wake();
	}

	down(): void {
		this.#socket = undefined;
	}

	reportEngine(report: EngineReport): Promise<Sent> {
		return this.#send(reportEngineDocument, report);
	}

	reportEvents(events: readonly HostEventReport[]): Promise<Sent> {
		return this.#send(reportHostEventsDocument, { events });
	}

	reportStats(containers: readonly ContainerStatsReport[]): Promise<Sent> {
		return this.#send(reportContainerStatsDocument, { containers });
	}

	/**
	 * Sends again and again, over one connection after another, until the server answers. Resolves with its data, or with its refusal when that is
	 * for good; rejects with the signal's reason when it is aborted first.
	 */
	async insist(document: string, input: unknown, signal: AbortSignal): Promise<unknown> {
		for (;;) {
			signal.throwIfAborted();
			const socket = this.#socket;
			if (socket === undefined) {
				await this.#pause(undefined, signal);
				continue;
			}
			try {
				return await socket.ask(document, { input });
			} catch (error) {
				if (isFinal(error)) return error;
				this.failures += 1;
				if (this.#socket === socket) await this.#pause(faultMs, signal);
			}
		}
	}

	async #send(document: string, input: unknown): Promise<Sent> {
		if (this.#socket === undefined) return "unsent";
		try {
			await this.#socket.ask(document, { input });
			return "answered";
		} catch (error) {
			this.failures += 1;
			return isFinal(error) ? "refused" : "unsent";
		}
	}

	/** Until there is a connection anew, the time is over or the signal comes. */
	#pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
		return new Promise((resolve) => {
			if (signal.aborted) return resolve();
			const cancel = ms === undefined ? undefined : this.#timers.after(ms, wake);
			function wake(): void {
				signal.removeEventListener("abort", wake);
				cancel?.();
				resolve();
			}
			signal.addEventListener("abort", wake, { once: true });
			this.#waiting.push(wake);
		});
	}
}

/** Whether an error is the server's word for good, on this connection: an older server does not know the document at all. */
export function isFinal(error: unknown): error is Refused {
	return error instanceof Refused && (error.code === undefined || finalCodes.includes(error.code));
}
