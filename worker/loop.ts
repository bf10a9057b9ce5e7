import { absurd } from "../src/lib/absurd.ts";
import { type Backoff, fullJitter } from "../src/lib/backoff.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import type { Endpoint } from "./address.ts";
import type { Enrollment } from "./enrollment.ts";
import { Fatal, reasonOf } from "./fatal.ts";
import type { Identity } from "./identity.ts";
import { lockTouchMs } from "./lock.ts";
import type { Assignment, Loop, LoopDeps } from "./loop-port.ts";
import { initialState, machine } from "./machine.ts";
import { joinEvent, type Mesh, type MeshPlan, noMesh } from "./mesh-port.ts";
import type { Effect, Event, State } from "./machine-state.ts";
import type { Socket } from "./socket.ts";

const backoff: Backoff = { baseMs: 1_000, capMs: 60_000 };
/** A ping or a heartbeat that is unanswered for so long means the peer is gone (RUNTIME.md, 6). */
const pongMs = 15_000;
const beatReplyMs = 30_000;
/** A cable that was pulled leaves a connection opening for minutes: as long as the system, or the mesh, tries (127 s seen). */
const openMs = 20_000;
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

type WaitName = "due" | "open" | "pong" | "reply" | "deadline" | "lock";
type StoreEffect = Extract<Effect, { readonly kind: "store" }>;

class MachineLoop implements Loop {
	readonly done: Promise<number>;
	readonly #finish: (code: number) => void;
	readonly #deps: LoopDeps;
	readonly #work: Assignment;
	readonly #mesh: Mesh;
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
		this.#mesh = deps.mesh ?? noMesh;
		this.#mesh.onLost((why) => this.#dispatch({ kind: "meshLost", why }));
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
			entry: this.#work.hasEntry ?? false,
			mesh: this.#identity !== undefined && this.#meshPlan() !== undefined,
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
			case "join":
				return this.#dispatch(await joinEvent(this.#mesh, this.#meshPlan(), this.#ending.signal));
			case "hangUp":
				return this.#hangUp();
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
		const { workerId, name, outcome } = enrolled;
		this.#dispatch({ kind: "stored", workerId, name, outcome, mesh: this.#meshPlan() !== undefined });
	}

	async #hangUp(): Promise<void> {
		const socket = this.#socket;
		this.#socket = undefined;
		this.#deps.hostWork?.down();
		this.#calm("due", "open", "pong", "reply");
		await socket?.close();
	}

	async #connect(): Promise<void> {
		const endpoint = this.#work.endpointFor(this.#known());
		if (this.#deps.mesh === undefined) return this.#open(endpoint);
		const state = this.#state;
		const route = await this.#mesh.route(endpoint);
		// It may have been told to stop, or have lost its login, meanwhile.
		if (this.#state !== state) return;
		if ("http" in route) return this.#open(route);
		this.#dispatch({ kind: "closed", code: 1006, why: route.why, upgradeStatus: undefined, nowMs: this.#deps.clock.monotonic() });
	}

	#open(endpoint: Endpoint): void {
		const { clock, openSocket, hostWork } = this.#deps;
		const known = this.#known();
		this.#wait("open", openMs, () => this.#socket?.terminate());
		const socket = openSocket(endpoint, known.credential, this.#work.nameFor(known), {
			opened: () => {
				this.#calm("open");
				this.#mesh.reached();
				this.#dispatch({ kind: "opened", nowMs: clock.monotonic() });
				hostWork?.up(socket);
			},
			closed: (end) => {
				this.#socket = undefined;
				hostWork?.down();
				this.#calm("due", "open", "pong", "reply");
				this.#dispatch({ kind: "closed", ...end, nowMs: clock.monotonic() });
			},
			pinged: () => this.#wait("pong", pongMs, () => this.#socket?.terminate()),
			ponged: () => this.#calm("pong"),
		});
		this.#socket = socket;
	}

	async #check(): Promise<void> {
		const known = this.#known();
		const route = await this.#mesh.route(this.#work.endpointFor(known));
		const verdict = "http" in route ? await this.#deps.check(route, known.credential, this.#ending.signal) : "unreachable";
		this.#dispatch({ kind: "checked", verdict, nowMs: this.#deps.clock.monotonic() });
	}

	async #beat(): Promise<void> {
		const socket = this.#socket;
		if (socket === undefined) return;
		this.#wait("reply", beatReplyMs, () => socket.terminate());
		this.#sequence += 1;
		const [vitals, mesh] = [this.#deps.readVitals(), this.#mesh.vitals()];
		const event = await socket
			.beat({ ...vitals, ...(mesh === undefined ? {} : { mesh }), bootId: this.#bootId, sequence: this.#sequence })
			.then(
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
		await this.#mesh.close();
		this.#finish(code);
	}

	#enrollment(): Enrollment {
		if (this.#work.enrollment === undefined) throw new Error("Cannot enroll: no enrollment was prepared");
		return this.#work.enrollment;
	}

	#meshPlan(): MeshPlan | undefined {
		return this.#deps.mesh === undefined ? undefined : this.#work.meshFor?.(this.#known());
	}

	#known(): Identity {
		if (this.#identity === undefined) throw new Error("Cannot report: there is no credential");
		return this.#identity;
	}
}
