import { type Engine, openEngine } from "../src/engine/engine.ts";
import { EngineError } from "../src/engine/error.ts";
import { type EngineInfo, engineInfo } from "../src/engine/info.ts";
import type { FoundDocker } from "./docker-address.ts";
import { dockerTransport } from "./docker-transport.ts";
import { reasonOf } from "./fatal.ts";

/** An engine that answered, and who it is. */
export interface Connected {
	readonly engine: Engine;
	readonly info: EngineInfo;
}

/** What is known of the engine now. */
export type DockerState = { readonly up: true; readonly info: EngineInfo } | { readonly up: false; readonly why: string };

/** The host's Docker Engine, which may be away, come back, or come back as another one. Holds no connection open by itself. */
export interface Docker {
	/** Asks the engine who it is, and returns the client. Rejects with `EngineError`. */
	connect(signal?: AbortSignal): Promise<Connected>;
	/** Takes note of an error: after `docker_unavailable` the engine counts as away. */
	noteFault(error: unknown): void;
	readonly state: DockerState;
	/** How often it was away after it had been there. */
	readonly losses: number;
	/** False: it is switched off, and will not be there later either. */
	readonly wanted: boolean;
}

/** The engine at an address, which is not asked before the first `connect`. */
export function docker(found: FoundDocker): Docker {
	let state: DockerState = { up: false, why: found.kind === "none" ? found.why : "Docker was not asked yet" };
	let losses = 0;

	function lose(error: unknown): void {
		if (state.up) losses += 1;
		state = { up: false, why: reasonOf(error) };
	}

	return {
		async connect(signal) {
			if (found.kind === "none") throw new EngineError("docker_unavailable", found.why);
			try {
				const engine = await openEngine(dockerTransport(found.at), { signal });
				const info = await engineInfo(engine, { signal });
				state = { up: true, info };
				return { engine, info };
			} catch (error) {
				signal?.throwIfAborted();
				lose(error);
				throw error;
			}
		},
		noteFault(error) {
			if (error instanceof EngineError && error.code === "docker_unavailable") lose(error);
		},
		get state() {
			return state;
		},
		get losses() {
			return losses;
		},
		wanted: found.kind === "at",
	};
}
