import { type ContainerSummary, listContainers } from "../src/engine/containers.ts";
import { EngineError } from "../src/engine/error.ts";
import { type EngineEvent, engineEvents } from "../src/engine/events.ts";
import { boundedMap } from "../src/lib/bounded-map.ts";
import type { Log } from "../src/lib/log.ts";
import type { EngineReport, HostEventReport } from "../src/protocol/commands.ts";
import type { Connected, Docker } from "./docker.ts";
import {
	changesContainers,
	engineReport,
	eventFilters,
	eventKey,
	eventMs,
	eventReport,
	firstBatch,
	noEngineReport,
} from "./docker-view.ts";
import { reasonOf } from "./fatal.ts";
import type { Uplink } from "./uplink.ts";
import type { Timers } from "./timers.ts";

/** What the watch needs. */
export interface WatchDeps {
	readonly docker: Docker;
	readonly uplink: Uplink;
	readonly timers: Timers;
	readonly log: Log;
}

/** Follows the engine: tells the server its containers and its events, and whether it is there. */
export interface DockerWatch {
	/** A connection to the server is open: it is told everything anew. */
	opened(): void;
	/** Those of the last list that run. */
	running(): readonly ContainerSummary[];
	readonly counts: { readonly events: number; readonly dropped: number; readonly containers: Readonly<Record<string, number>> };
	/** Ends it at once. */
	stop(): void;
}

/** Between two reports on the whole engine. */
const reportEveryMs = 1_000;
/** Between two attempts to reach an engine that is away. */
const retryMs = 2_000;
/** Events kept for a server that is away, some 1 KB each; the oldest go first. */
const eventsMax = 2_000;
const batchMax = 100;
/** Events remembered, to know those that come twice around a connection anew. */
const rememberedMax = 1_000;

/** Begins to follow the engine, and goes on until `stop`, through every restart of it. */
export function watchDocker(deps: WatchDeps): DockerWatch {
	const watch = new Watch(deps);
	void watch.run();
	return watch;
}

class Watch implements DockerWatch {
	readonly #deps: WatchDeps;
	readonly #ending = new AbortController();
	readonly #seen = boundedMap<true>(rememberedMax);
	/** The engine was asked at least once: before that there is nothing to say of it. */
	#asked = false;
	#connected: Connected | undefined;
	#containers: readonly ContainerSummary[] = [];
	#lastMs: number | undefined;
	#events: HostEventReport[] = [];
	#sending = false;
	/** The report is out of date. */
	#dirty = true;
	#reporting = false;
	#told = 0;
	#dropped = 0;
	#lastWhy = "";

	constructor(deps: WatchDeps) {
		this.#deps = deps;
	}

	async run(): Promise<void> {
		const { docker } = this.#deps;
		if (!docker.wanted) {
			this.#asked = true;
			return this.#changed();
		}
		const { signal } = this.#ending;
		while (!signal.aborted) {
			try {
				await this.#follow(await docker.connect(signal));
				throw new EngineError("docker_unavailable", "Cannot use Docker: it ended its events, as it does when it stops; start it");
			} catch (error) {
				if (signal.aborted) return;
				docker.noteFault(new EngineError("docker_unavailable", reasonOf(error), { cause: error }));
				this.#away(reasonOf(error));
			}
			await this.#pause(retryMs);
		}
	}

	opened(): void {
		this.#changed();
		void this.#sendEvents();
	}

	running(): readonly ContainerSummary[] {
		return this.#connected === undefined ? [] : this.#containers.filter(({ State }) => State === "running");
	}

	get counts(): DockerWatch["counts"] {
		const containers: Record<string, number> = {};
		for (const { State } of this.#containers) containers[State] = (containers[State] ?? 0) + 1;
		return { events: this.#told, dropped: this.#dropped, containers };
	}

	stop(): void {
		this.#ending.abort();
	}

	/** The events come first and the list after them, so that no change falls between the two. */
	async #follow(connected: Connected): Promise<void> {
		const { engine, info } = connected;
		const since = this.#lastMs === undefined ? undefined : (this.#lastMs / 1_000).toFixed(3);
		const events = await engineEvents(engine, eventFilters, since, { signal: this.#ending.signal });
		this.#connected = connected;
		this.#asked = true;
		this.#lastWhy = "";
		this.#deps.log.info("docker.connected", { version: info.version, apiVersion: info.apiVersion });
		this.#changed();
		for await (const event of events) this.#heard(event);
	}

	#heard(event: EngineEvent): void {
		this.#lastMs = Math.max(this.#lastMs ?? 0, eventMs(event));
		const key = eventKey(event);
		if (this.#seen.get(key) === true) return;
		this.#seen.set(key, true);
		if (changesContainers(event)) this.#changed();
		const report = eventReport(event);
		if (report === undefined) return;
		this.#told += 1;
		this.#events.push(report);
		if (this.#events.length > eventsMax) {
			this.#events.shift();
			this.#dropped += 1;
		}
		void this.#sendEvents();
	}

	#away(why: string): void {
		this.#asked = true;
		if (this.#connected !== undefined || why !== this.#lastWhy) this.#deps.log.warn("docker.unavailable", { why });
		this.#connected = undefined;
		this.#containers = [];
		if (why !== this.#lastWhy) this.#changed();
		this.#lastWhy = why;
	}

	#changed(): void {
		this.#dirty = true;
		void this.#report();
	}

	/** One report at a time, and the next a second later at the earliest, which tells all that changed until then. */
	async #report(): Promise<void> {
		if (this.#reporting) return;
		this.#reporting = true;
		while (this.#dirty && !this.#ending.signal.aborted) {
			this.#dirty = false;
			const report = await this.#look();
			if (report !== undefined) await this.#deps.uplink.reportEngine(report);
			await this.#pause(reportEveryMs);
		}
		this.#reporting = false;
	}

	async #look(): Promise<EngineReport | undefined> {
		const connected = this.#connected;
		if (connected === undefined) {
			const { state } = this.#deps.docker;
			return state.up || !this.#asked ? undefined : noEngineReport(state.why);
		}
		try {
			this.#containers = await listContainers(connected.engine, undefined, { signal: this.#ending.signal });
			return engineReport(connected.info, this.#containers);
		} catch (error) {
			// An engine that is going away ends its events too, and that is told.
			this.#deps.log.debug("docker.list_failed", { why: reasonOf(error) });
			return undefined;
		}
	}

	async #sendEvents(): Promise<void> {
		if (this.#sending || this.#deps.uplink.socket === undefined) return;
		this.#sending = true;
		while (this.#events.length > 0 && !this.#ending.signal.aborted) {
			const batch = firstBatch(this.#events, batchMax);
			const sent = await this.#deps.uplink.reportEvents(batch);
			if (sent === "unsent") break;
			// What the bound dropped meanwhile was the oldest, so of this batch.
			this.#events = this.#events.filter((event) => !batch.includes(event));
		}
		this.#sending = false;
	}

	#pause(ms: number): Promise<void> {
		return new Promise((resolve) => {
			const { signal } = this.#ending;
			if (signal.aborted) return resolve();
			const cancel = this.#deps.timers.after(ms, done);
			function done(): void {
				signal.removeEventListener("abort", done);
				cancel();
				resolve();
			}
			signal.addEventListener("abort", done, { once: true });
		});
	}
}
