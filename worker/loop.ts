import { absurd } from "../src/lib/absurd.ts";
import { type Backoff, fullJitter } from "../src/lib/backoff.ts";
import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import type { Endpoint } from "./address.ts";
import type { Enrollment } from "./enrollment.ts";
import { Fatal, reasonOf } from "./fatal.ts";
import type { Vitals } from "./facts.ts";
import type { Credential, Identity } from "./identity.ts";
import { lockTouchMs } from "./lock.ts";
import { initialState, machine } from "./machine.ts";
import type { CheckVerdict, Effect, Event, State } from "./machine-state.ts";
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

const backoff: Backoff = { baseMs: 1_000, capMs: 60_000 };
/** A ping or a heartbeat that is unanswered for so long means the peer is gone (RUNTIME.md, 6). */
const pongMs = 15_000;
const beatReplyMs = 30_000;
const heartbeatSecondsDefault = 15;
/** A server cannot make a worker spin, or fall silent for good. */
const heartbeatSeconds = { min: 0.05, max: 3_600 };
const politeCloseMs = 1_000;
const lostLock = "Another worker took over the state directory: start one only on each";

/** Runs the state machine's effects: the only place that waits. Everything it starts has ended when `done` resolves. */
export function startLoop(deps: LoopDeps, work: Assignment): Loop {
	const loop = new MachineLoop(deps, work);
	loop.start();
	return loop;
}

type WaitName = "due" | "pong" | "reply" | "deadline" | "lock";
type StoreEffect = Extract<Effect, { readonly kind: "store" }>;

class MachineLoop implements Loop {
	readonly done: Promise<number>;
	readonly #finish: (code: number) => void;
	readonly #deps: LoopDeps;
	readonly #work: Assignment;
	readonly #ending = new AbortController();
	/** What calls each wait off; one of each name at most. */
	readonly #waits = new Map<WaitName, () => void>();
	readonly #bootId: string;
	#state: State = initialState;
	#identity: Identity | undefined;
	#socket: Socket | undefined;
	#sequence = 0;
	#beatSeconds: number;

	constructor(deps: LoopDeps, work: Assignment) {
		({ promise: this.done, resolve: this.#finish } = Promise.withResolvers<number>());
		this.#deps = deps;
		this.#work = work;
		this.#bootId = Buffer.from(deps.random.bytes(16)).toString("hex");
		this.#identity = work.identity;
		this.#beatSeconds = work.identity?.server?.heartbeatSeconds ?? heartbeatSecondsDefault;
	}

	start(): void {
		const { enrollOnlySeconds } = this.#work;
		this.#keepLock();
		if (enrollOnlySeconds !== undefined) {
			this.#wait("deadline", enrollOnlySeconds * 1_000, () => this.#dispatch({ kind: "outOfTime" }));
		}
		const [hasCredential, thenExit] = [this.#identity !== undefined, enrollOnlySeconds !== undefined];
		this.#dispatch({
			kind: "started",
			hasCredential,
			thenExit,
			signed: this.#work.enrollment?.signed ?? false,
			again: this.#work.enrollsAgain,
		});
	}

	signal(name: string): void {
		this.#dispatch({ kind: "signalled", signal: name });
	}

	#dispatch(event: Event): void {
		const [next, effects] = machine(this.#state, event);
		this.#state = next;
		this.#deps.observe?.(event, next, effects);
		for (const effect of effects) {
			this.#perform(effect).catch((error: unknown) => {
				// A fault of the disk or the configuration (Fatal), or of the program; either ends the worker with its code.
				const code = error instanceof Fatal ? error.exitCode : exitCodes.software;
				this.#dispatch({ kind: "broken", code, why: reasonOf(error) });
			});
		}
	}

	/** Does what it can at once before its first await, so that effects of one step happen in their order. */
	async #perform(effect: Effect): Promise<void> {
		switch (effect.kind) {
			case "enroll":
				return this.#dispatch(await this.#enrollment().send(effect.renew, this.#ending.signal));
			case "correctClock":
				return this.#enrollment().correctClock(effect.serverMs);
			case "store":
				return this.#store(effect);
			case "forget":
				return this.#enrollment().forget();
			case "wait": {
				const jitterMs = fullJitter(backoff, effect.failures, this.#deps.random.fraction());
				return this.#wait("due", effect.seconds * 1_000 + jitterMs, () => this.#dispatch({ kind: "due" }));
			}
			case "connect":
				return this.#connect();
			case "check":
				return this.#check();
			case "beat":
				return this.#beat();
			case "beatIn":
				return this.#beatIn(effect.seconds);
			case "log":
				return this.#deps.log[effect.level](effect.event, effect.fields);
			case "finish":
				return this.#end(effect.code);
			default:
				return absurd(effect);
		}
	}

	#wait(name: WaitName, delayMs: number, then: () => void): void {
		this.#calm(name);
		this.#waits.set(name, this.#deps.timers.after(delayMs, then));
	}

	#calm(...names: readonly WaitName[]): void {
		for (const name of names) this.#waits.get(name)?.();
	}

	async #store({ enrolled }: StoreEffect): Promise<void> {
		const kept = await this.#enrollment().keep(enrolled);
		if (kept.identity === undefined) return this.#dispatch({ kind: "unsealable", why: kept.why });
		this.#identity = kept.identity;
		this.#beatSeconds = enrolled.heartbeatIntervalSeconds;
		this.#dispatch({ kind: "stored", workerId: enrolled.workerId, name: enrolled.name, outcome: enrolled.outcome });
	}

	#connect(): void {
		const { clock, openSocket, hostWork } = this.#deps;
		const known = this.#known();
		const socket = openSocket(this.#work.endpointFor(known), known.credential, this.#work.nameFor(known), {
			opened: () => {
				this.#dispatch({ kind: "opened", nowMs: clock.monotonic() });
				hostWork?.up(socket);
			},
			closed: (end) => {
				this.#socket = undefined;
				hostWork?.down();
				this.#calm("due", "pong", "reply");
				this.#dispatch({ kind: "closed", ...end, nowMs: clock.monotonic() });
			},
			pinged: () => this.#wait("pong", pongMs, () => this.#socket?.terminate()),
			ponged: () => this.#calm("pong"),
		});
		this.#socket = socket;
	}

	async #check(): Promise<void> {
		const known = this.#known();
		const verdict = await this.#deps.check(this.#work.endpointFor(known), known.credential, this.#ending.signal);
		this.#dispatch({ kind: "checked", verdict, nowMs: this.#deps.clock.monotonic() });
	}

	async #beat(): Promise<void> {
		const socket = this.#socket;
		if (socket === undefined) return;
		this.#wait("reply", beatReplyMs, () => socket.terminate());
		this.#sequence += 1;
		const vitals = this.#deps.readVitals();
		const event = await socket.beat({ ...vitals, bootId: this.#bootId, sequence: this.#sequence }).then(
			(reply): Event => ({ kind: "beatAnswered", nextInSeconds: reply.nextInSeconds }),
			(error: unknown): Event => ({ kind: "beatFailed", why: reasonOf(error) }),
		);
		// An answer that comes after its socket closed belongs to no connection any more.
		if (this.#socket !== socket) return;
		this.#calm("reply");
		this.#dispatch(event);
		if (event.kind === "beatAnswered") this.#deps.hostWork?.beaten();
	}

	#beatIn(seconds: number | undefined): void {
		if (seconds !== undefined) this.#beatSeconds = seconds;
		const bounded = Math.min(heartbeatSeconds.max, Math.max(heartbeatSeconds.min, this.#beatSeconds));
		// ±10 %, so that workers that connected together do not report together for ever.
		const jitter = 0.9 + 0.2 * this.#deps.random.fraction();
		this.#wait("due", bounded * 1_000 * jitter, () => this.#dispatch({ kind: "due" }));
	}

	#keepLock(): void {
		this.#wait("lock", lockTouchMs, () => {
			if (this.#deps.touchLock()) this.#keepLock();
			else this.#dispatch({ kind: "broken", code: exitCodes.temporary, why: lostLock });
		});
	}

	async #end(code: number): Promise<void> {
		this.#ending.abort();
		this.#deps.hostWork?.stop();
		for (const cancel of this.#waits.values()) cancel();
		const socket = this.#socket;
		if (socket !== undefined) {
			const { promise: late, resolve } = Promise.withResolvers<void>();
			const cancel = this.#deps.timers.after(politeCloseMs, resolve);
			await Promise.race([socket.close(), late]);
			cancel();
		}
		this.#finish(code);
	}

	#enrollment(): Enrollment {
		if (this.#work.enrollment === undefined) throw new Error("Cannot enroll: no enrollment was prepared");
		return this.#work.enrollment;
	}

	#known(): Identity {
		if (this.#identity === undefined) throw new Error("Cannot report: there is no credential");
		return this.#identity;
	}
}
