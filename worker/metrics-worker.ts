import type { Clock } from "../src/lib/clock.ts";
import { type Refusal, refusals } from "../src/protocol/codes.ts";
import { counter, gauge, type Metric } from "./metrics-text.ts";
import type { Effect, Event, State } from "./machine-state.ts";

/** What `/healthz` says. */
export interface Health {
	/** `ok` when the server answered a heartbeat within the last three intervals. */
	readonly status: "ok" | "unavailable";
	/** What the worker does now (machine.ts). */
	readonly state: State["kind"];
	/** When the server last answered a heartbeat, ISO 8601; null when it has not since the start. */
	readonly lastHeartbeat: string | null;
	/** The interval the server asked for; null before its first answer. */
	readonly intervalSeconds: number | null;
	/** Why it is not `ok`; null when it is. */
	readonly reason: string | null;
}

/** Intervals without an answered heartbeat after which a worker counts as cut off. */
const intervalsMax = 3;
/** An interval shorter than this is judged as this: a busy host is late by such a span. Nor does the loop wait longer than an hour. */
const intervalSeconds = { min: 1, max: 3_600 };

/** What the worker has been through, told by its machine step by step. Counts only; holds no id, no address and no key. */
export class Progress {
	readonly #clock: Clock;
	readonly #refused = new Map<Refusal, number>(refusals.map((reason) => [reason, 0]));
	#state: State = { kind: "fresh" };
	#enrolled = false;
	#sent = 0;
	#failed = 0;
	#opened = 0;
	/** A heartbeat is under way. */
	#unanswered = false;
	#last: { readonly atMs: number; readonly monotonicMs: number; readonly intervalSeconds: number } | undefined;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Takes in one step of the machine: what happened, where it led, and what it starts. */
	observe(event: Event, state: State, effects: readonly Effect[]): void {
		this.#state = state;
		if ("link" in state) this.#enrolled = true;
		if (event.kind === "opened") this.#opened += 1;
		if (event.kind === "replied" && event.reply.__typename === "EnrollmentRejected") {
			const { reason } = event.reply;
			this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
		}
		if (event.kind === "beatAnswered") {
			this.#unanswered = false;
			this.#last = { atMs: this.#clock.now(), monotonicMs: this.#clock.monotonic(), intervalSeconds: event.nextInSeconds };
		}
		if (this.#unanswered && (event.kind === "beatFailed" || event.kind === "closed")) {
			this.#unanswered = false;
			this.#failed += 1;
		}
		if (effects.some(({ kind }) => kind === "beat")) {
			this.#unanswered = true;
			this.#sent += 1;
		}
	}

	/** Whether the worker reports as it should, and if not, why; in words of its own, since anybody may ask. */
	health(): Health {
		const last = this.#last;
		const reason = this.#complaint();
		return {
			status: reason === null ? "ok" : "unavailable",
			state: this.#state.kind,
			lastHeartbeat: last === undefined ? null : new Date(last.atMs).toISOString(),
			intervalSeconds: last?.intervalSeconds ?? null,
			reason,
		};
	}

	/** The worker's own metrics. Every series is there from the start with 0, so that a rate over a first refusal is right. */
	metrics(build: { readonly version: string; readonly platform: string }): readonly Metric[] {
		return [
			{
				name: "muster_worker_info",
				help: "The worker's version and the platform it was built for",
				type: "gauge",
				samples: [{ labels: { version: build.version, platform: build.platform }, value: 1 }],
			},
			gauge("muster_worker_enrolled", "1 when the worker has a credential", this.#enrolled ? 1 : 0),
			gauge("muster_worker_connected", "1 when the worker has an open connection to the server", this.#state.kind === "connected" ? 1 : 0),
			counter("muster_worker_heartbeats_sent_total", "Heartbeats sent, answered or not", this.#sent),
			counter("muster_worker_heartbeats_failed_total", "Heartbeats the server refused or did not answer", this.#failed),
			counter("muster_worker_reconnects_total", "Connections opened after the first one", Math.max(0, this.#opened - 1)),
			{
				name: "muster_worker_enroll_refusals_total",
				help: "Refused enrollments by reason",
				type: "counter",
				samples: [...this.#refused].map(([reason, value]) => ({ labels: { reason }, value })),
			},
			gauge(
				"muster_worker_last_heartbeat_timestamp_seconds",
				"When the server last answered a heartbeat, in seconds since the epoch; 0: not since the start",
				(this.#last?.atMs ?? 0) / 1_000,
			),
		];
	}

	#complaint(): string | null {
		const last = this.#last;
		if (this.#state.kind === "stopping") return "the worker is stopping";
		if (last === undefined) return waitingFor[this.#state.kind];
		const silentMs = this.#clock.monotonic() - last.monotonicMs;
		const patienceMs = intervalsMax * Math.min(intervalSeconds.max, Math.max(intervalSeconds.min, last.intervalSeconds)) * 1_000;
		if (silentMs <= patienceMs) return null;
		return `the server has not answered a heartbeat for ${Math.round(silentMs / 1_000)} s, see the worker's log`;
	}
}

/** What a worker without an answered heartbeat waits for. */
const waitingFor: Record<State["kind"], string> = {
	fresh: "the worker is starting",
	enrolling: "not enrolled: the server has not let this host in yet, see the worker's log",
	pending: "not enrolled: an operator has to let this host in",
	delayed: "not enrolled: the server said wait or could not be reached, see the worker's log",
	storing: "not enrolled: the credential is being stored",
	joining: "enrolled, and not on the mesh yet",
	unjoined: "enrolled, and not on the mesh yet, see the worker's log",
	connecting: "not connected to the server yet",
	connected: "connected, and the server has not answered a heartbeat yet",
	checking: "not connected: the server refused the credential, which is being checked",
	reconnecting: "not connected to the server, see the worker's log",
	stopping: "the worker is stopping",
};
