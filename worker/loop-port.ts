import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import type { Endpoint } from "./address.ts";
import type { Enrollment } from "./enrollment.ts";
import type { Vitals } from "./facts.ts";
import type { Credential, Identity } from "./identity.ts";
import type { CheckVerdict, Effect, Event, State } from "./machine-state.ts";
import type { Mesh, MeshPlan } from "./mesh-port.ts";
import type { OpenSocket, Socket } from "./socket.ts";
import type { Timers } from "./timers.ts";

/** What the loop needs of the world. */
export interface LoopDeps {
	readonly clock: Clock;
	readonly random: Random;
	readonly timers: Timers;
	readonly log: Log;
	readonly openSocket: OpenSocket;
	readonly check: (endpoint: Endpoint, credential: Credential, signal: AbortSignal) => Promise<CheckVerdict>;
	readonly readVitals: () => Vitals;
	/** Says that this worker still holds its state directory; false when another took it. */
	readonly touchLock: () => boolean;
	/** What is done over the connection beside heartbeats; undefined: nothing. It never throws and keeps nobody waiting. */
	readonly hostWork?: HostWork;
	/** Absent: this host is on none. */
	readonly mesh?: Mesh;
	/** Is told of every step of the machine, for the metrics. */
	readonly observe?: (event: Event, state: State, effects: readonly Effect[]) => void;
}

/** What a worker does beside heartbeats. */
export interface HostWork {
	/** A connection that the server let in. */
	up(socket: Socket): void;
	/** It has gone. */
	down(): void;
	/** The server answered a heartbeat. */
	beaten(): void;
	/** The worker ends: begins nothing more, at once. */
	stop(): void;
}

/** One run of the worker. */
export interface Assignment {
	/** Undefined: enroll first. */
	readonly identity: Identity | undefined;
	/** Undefined only when there is an identity. */
	readonly enrollment: Enrollment | undefined;
	/** Whether to enroll anew when the server refuses the credential for good. */
	readonly enrollsAgain: boolean;
	/** For the command `enroll`: end once enrolled, and after this many seconds at the latest. */
	readonly enrollOnlySeconds: number | undefined;
	/** Where to report with an identity. */
	readonly endpointFor: (identity: Identity) => Endpoint;
	/** The mesh this host is to be on with an identity; undefined: none. */
	readonly meshFor?: (identity: Identity) => MeshPlan | undefined;
	/** The configuration holds a key, even if only a one-use token. */
	readonly hasEntry?: boolean;
	/** The name to report under; undefined: none is sent. */
	readonly nameFor: (identity: Identity) => string | undefined;
}

/** A worker at work. */
export interface Loop {
	/** Resolves with the exit code, when everything is closed and no timer is left. */
	readonly done: Promise<number>;
	/** Asks it to stop, as on SIGTERM; ends with 0 in less than two seconds. */
	signal(name: string): void;
}
