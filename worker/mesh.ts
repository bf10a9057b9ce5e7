/** This host's place on the mesh: starts the client, joins, watches, and says how the server is reached through it (H5, H7). */
import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import type { Endpoint } from "./address.ts";
import type { MeshConfig } from "./config-mesh.ts";
import type { Disk } from "./disk.ts";
import type { MeshVitals } from "./facts.ts";
import type { IdentityStore } from "./identity.ts";
import { type Lock, type Processes, takeLock } from "./lock.ts";
import { type MeshApi, meshApi } from "./mesh-api.ts";
import { Daemon } from "./mesh-daemon.ts";
import { meshDirOf, meshSocketOf, prepareMeshDir } from "./mesh-dir.ts";
import { readMark, writeMark } from "./mesh-mark.ts";
import { type MeshStatus, type Move, nextMove, type Standing, standingOf } from "./mesh-status.ts";
import { findTools, type MeshTools, toolEnv } from "./mesh-tools.ts";
import type { Mesh, MeshAnswer, MeshFigures, MeshPlan } from "./mesh-port.ts";
import { routeOver } from "./mesh-route.ts";
import { bringUp } from "./mesh-up.ts";
import { sameUrl, whyLost, whyNot, whySilent, whyWaiting } from "./mesh-words.ts";
import { pause, type Timers } from "./timers.ts";

export type MeshDeps = {
	readonly disk: Disk;
	readonly clock: Clock;
	readonly timers: Timers;
	readonly random: Random;
	readonly log: Log;
	readonly processes: Processes;
};

/** The key that an enroll reply brought. */
type MeshStore = Pick<IdentityStore, "meshKeyPath" | "hasMeshKey" | "forgetMeshKey">;

const lookMs = 250;
const joinMs = 30_000;
const watchMs = 5_000;
/** A login that seems gone is looked at so often before it is believed. */
const believedLooks = 3;
/**
 * A client of a node that was deleted may say `Running` for as long as its connection to the control server lasts (Headscale 0.29.2: more than four
 * minutes); a new one asks at its start. So one that has not led to the server for so long is started anew, ever more rarely.
 */
const renewMs = { first: 60_000, max: 1_800_000 } as const;

/** Prepares the mesh; nothing is looked for, started or written before `join`. */
export function openMesh(deps: MeshDeps, config: MeshConfig, stateDir: string, store: MeshStore): Mesh {
	return new ClientMesh(deps, config, meshDirOf(config, stateDir), store);
}

class ClientMesh implements Mesh {
	readonly #deps: MeshDeps;
	readonly #config: MeshConfig;
	readonly #dir: string;
	readonly #store: MeshStore;
	#tools: MeshTools | undefined;
	readonly #api: MeshApi;
	#daemon: Daemon | undefined;
	#lock: Lock | undefined;
	#plan: MeshPlan | undefined;
	#status: MeshStatus | undefined;
	#looked = false;
	#closed = false;
	#failures = 0;
	#lost = 0;
	#outsideLooks = 0;
	/** Since when no connection came about, and after how long the client is started anew. */
	#unreached: { readonly sinceMs: number; readonly renewAfterMs: number } | undefined;
	#calmWatch: (() => void) | undefined;
	/** Which watch is the one: a look that was under way when another began ends without a next. */
	#watch = 0;
	#tellLost: (why: string) => void = () => {};

	constructor(deps: MeshDeps, config: MeshConfig, meshDir: string, store: MeshStore) {
		this.#deps = deps;
		this.#config = config;
		this.#dir = meshDir;
		this.#store = store;
		this.#api = meshApi(meshSocketOf(config, meshDir));
	}

	checkTools(): MeshTools {
		this.#tools ??= findTools(this.#config);
		return this.#tools;
	}

	async join(plan: MeshPlan, signal: AbortSignal): Promise<MeshAnswer> {
		const answer = await this.#join(plan, signal);
		if (answer.kind === "failed") this.#failures += 1;
		if (answer.kind === "lost") this.#lost += 1;
		return answer;
	}

	async #join(plan: MeshPlan, signal: AbortSignal): Promise<MeshAnswer> {
		this.#endWatch();
		this.#plan = plan;
		this.#start();
		const { clock } = this.#deps;
		const endMs = clock.monotonic() + joinMs;
		let why = "";
		while (!signal.aborted && clock.monotonic() < endMs) {
			const status = await this.#look();
			if (status === undefined) {
				why = this.#silent();
			} else {
				const move = await this.#nextMove(plan, status);
				if (move === "done") return this.#settle(plan, status);
				if (move === "lost") return { kind: "lost", why: whyLost(plan.controlUrl, status, this.#dir) };
				if (move === "foreign" || move === "off") {
					return { kind: "failed", why: whyNot(move, await this.#api.controlUrl(), plan.controlUrl) };
				}
				if (move !== "wait") {
					const { kind, why: said } = { why: "", ...(await this.#bringUp(plan, move, signal)) };
					if (kind === "refused") return this.#refused(said);
					const after = await this.#look();
					if (after !== undefined && this.#standing(after) === "joined") return this.#settle(plan, after);
					if (kind === "failed") return { kind: "failed", why: `Cannot join the mesh at ${plan.controlUrl ?? "its server"}: ${said}` };
				}
				why = whyWaiting(status, plan.controlUrl);
			}
			await pause(this.#deps.timers, lookMs, signal);
		}
		return { kind: "failed", why };
	}

	async route(endpoint: Endpoint): Promise<Endpoint | { readonly why: string }> {
		// Not asked to join: how a mesh address is reached is this host's own affair.
		if (this.#plan === undefined) return endpoint;
		this.#renewIfStuck();
		return routeOver(this.#api, endpoint, { mode: this.#config.mode, proxy: this.#daemon?.proxy, silent: this.#silent() });
	}

	reached(): void {
		this.#unreached = undefined;
	}

	vitals(): MeshVitals | undefined {
		if (!this.#looked) return undefined;
		const status = this.#status;
		if (status === undefined) return { state: "Unavailable", addresses: [] };
		const { backend, addresses, nodeName } = status;
		// The client remembers a `Running` that the control server does not.
		const state = this.#standing(status) === "outside" && status.hasNodeKey ? "NeedsLogin" : backend;
		return { state, addresses, ...(nodeName === undefined ? {} : { nodeName }) };
	}

	figures(): MeshFigures | undefined {
		const vitals = this.vitals();
		if (vitals === undefined) return undefined;
		const joined = this.#status !== undefined && this.#standing(this.#status) === "joined";
		return { state: vitals.state, joined, restarts: this.#daemon?.restarts ?? 0, failures: this.#failures, lost: this.#lost };
	}

	onLost(tell: (why: string) => void): void {
		this.#tellLost = tell;
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#endWatch();
		await this.#daemon?.stop();
		this.#lock?.release();
	}

	#start(): void {
		const { mode } = this.#config;
		const { tailscaled } = this.checkTools();
		this.#prepareDir();
		if (mode === "host" || mode === "off" || tailscaled === undefined) return;
		this.#daemon ??= new Daemon(this.#deps, { program: tailscaled, mode, meshDir: this.#dir, env: toolEnv(this.#dir) });
		this.#daemon.start();
	}

	#prepareDir(): void {
		prepareMeshDir(this.#dir);
		this.#lock ??= takeLock(this.#deps, this.#dir);
	}

	async #look(): Promise<MeshStatus | undefined> {
		this.#lock?.touch();
		const status = await this.#api.status();
		if (this.#looked && status?.backend !== this.#status?.backend) {
			this.#deps.log.info("mesh.state", { state: status?.backend ?? "Unavailable", addresses: status?.addresses ?? [] });
		}
		this.#status = status;
		this.#looked = true;
		return status;
	}

	async #nextMove({ controlUrl }: MeshPlan, status: MeshStatus): Promise<Move> {
		const at = await this.#api.controlUrl();
		return nextMove(status, {
			hasKey: this.#store.hasMeshKey() && controlUrl !== undefined,
			marked: readMark(this.#deps.disk, this.#dir)?.controlUrl === controlUrl,
			sameControl: controlUrl === undefined || !at || sameUrl(at, controlUrl),
			own: this.#config.mode !== "host",
		});
	}

	async #bringUp(plan: MeshPlan, move: "login" | "resume", signal: AbortSignal): ReturnType<typeof bringUp> {
		const { controlUrl, nodeName } = plan;
		if (controlUrl === undefined) return { kind: "failed", why: "no enroll reply said where to log in" };
		const at = await this.#api.controlUrl();
		return bringUp(
			{
				program: this.checkTools().tailscale,
				socket: meshSocketOf(this.#config, this.#dir),
				env: toolEnv(this.#dir),
				controlUrl,
				nodeName,
				keyPath: move === "login" ? this.#store.meshKeyPath : undefined,
				force: move === "login" && at !== undefined && at !== "" && !sameUrl(at, controlUrl),
				own: this.#config.mode !== "host",
			},
			signal,
		);
	}

	/** The mark is durable before the key goes: a crash between leaves a key that is not needed, never a host without both. */
	#settle({ controlUrl }: MeshPlan, { addresses, nodeName }: MeshStatus): MeshAnswer {
		const { disk, clock } = this.#deps;
		const mark = { controlUrl: controlUrl ?? "", addresses: [...addresses], nodeName: nodeName ?? null };
		const former = readMark(disk, this.#dir);
		if (former?.controlUrl !== mark.controlUrl || former.addresses.join() !== mark.addresses.join() || former.nodeName !== mark.nodeName) {
			writeMark(disk, this.#dir, { ...mark, joinedAt: new Date(clock.now()).toISOString() });
		}
		this.#store.forgetMeshKey();
		this.#outsideLooks = 0;
		// One that began to join beside this one may have settled first.
		this.#endWatch();
		this.#watchLater(this.#watch);
		return { kind: "joined", addresses, nodeName };
	}

	#refused(said: string): MeshAnswer {
		this.#store.forgetMeshKey();
		return { kind: "lost", why: `the mesh refused the key (${said})` };
	}

	#endWatch(): void {
		this.#watch += 1;
		this.#calmWatch?.();
	}

	#watchLater(watch: number): void {
		if (this.#closed) return;
		this.#calmWatch = this.#deps.timers.after(watchMs, () => void this.#watchOnce(watch));
	}

	async #watchOnce(watch: number): Promise<void> {
		const status = await this.#look();
		if (watch !== this.#watch) return;
		const outside = status !== undefined && this.#standing(status) === "outside";
		this.#outsideLooks = outside ? this.#outsideLooks + 1 : 0;
		if (outside && this.#outsideLooks >= believedLooks && this.#plan !== undefined) {
			this.#lost += 1;
			return this.#tellLost(whyLost(this.#plan.controlUrl, status, this.#dir));
		}
		this.#watchLater(watch);
	}

	#renewIfStuck(): void {
		const nowMs = this.#deps.clock.monotonic();
		this.#unreached ??= { sinceMs: nowMs, renewAfterMs: renewMs.first };
		const { sinceMs, renewAfterMs } = this.#unreached;
		if (this.#daemon === undefined || nowMs - sinceMs < renewAfterMs) return;
		const why = `it has not led to the server for ${Math.round((nowMs - sinceMs) / 1_000)} s: a new one asks the mesh whether it still knows this host`;
		this.#deps.log.warn("mesh.client_renewed", { why });
		this.#unreached = { sinceMs: nowMs, renewAfterMs: Math.min(renewMs.max, renewAfterMs * 2) };
		this.#daemon.renew();
	}

	#standing(status: MeshStatus): Standing {
		return standingOf(status, this.#config.mode !== "host");
	}

	#silent(): string {
		return whySilent(this.#config, this.#daemon?.lastLine ?? "");
	}
}
