import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { type Backoff, fullJitter } from "../src/lib/backoff.ts";
import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import { type Disk, replaceFile } from "./disk.ts";
import { reasonOf } from "./fatal.ts";
import type { Timers } from "./timers.ts";

/** What the client is run as. */
export interface DaemonPlan {
	readonly program: string;
	readonly mode: "userspace" | "tun";
	/** Where its login, its socket and `tailscaled.json` are. */
	readonly meshDir: string;
	readonly env: Readonly<Record<string, string>>;
}

/** A running client, as `doctor` finds it. */
export interface RunningDaemon {
	/** `host:port` of its HTTP proxy; null with a tun device. */
	readonly proxy: string | null;
}

type Deps = {
	readonly disk: Disk;
	readonly clock: Clock;
	readonly timers: Timers;
	readonly random: Random;
	readonly log: Log;
};

const restarts: Backoff = { baseMs: 1_000, capMs: 60_000 };
/** One that ran for so long was well: the next failure is the first again. */
const wellMs = 60_000;
/** What a client says at debug level: its first lines, and then so many in ten seconds. */
const lines = { max: 200, everyMs: 10_000, charactersMax: 500 } as const;
/** How long a client may take to give its device and routes back; the worker has two seconds for everything. */
const stopMs = 900;
/** Not Tailscale's own, so that the host may have one of its own beside it. */
const tunDevice = "muster-mesh0";
const runningSchema = v.object({ proxy: v.nullable(v.string()) });
/**
 * The client's parent: it holds the worker's end of a pipe, which closes with the worker however that ends, and then ends its whole process group. So a
 * client never outlives a worker that was killed, and none is there twice.
 */
const keeper = `exec 3<&0
trap 'kill -TERM "$client"' TERM
"$@" </dev/null 3<&- & client=$!
(trap - TERM; read -r _ <&3; kill -KILL 0) & watch=$!
wait "$client"; code=$?
kill -0 "$client" 2>/dev/null && { wait "$client"; code=$?; }
kill -KILL "$watch" 2>/dev/null
exit "$code"`;

/** Where the client of a mesh directory listens. */
export function daemonSocket(meshDir: string): string {
	return join(meshDir, "tailscaled.sock");
}

/** What the last client of a mesh directory was; it need not run any more. */
export function readRunning(disk: Pick<Disk, "read">, meshDir: string): RunningDaemon | undefined {
	try {
		const parsed = v.safeParse(runningSchema, JSON.parse(disk.read(runningPath(meshDir)) ?? ""));
		return parsed.success ? parsed.output : undefined;
	} catch {
		return undefined;
	}
}

/** A `tailscaled` of the worker's own: started again with a growing wait whenever it ends, and ended with the worker, whatever ends that. */
export class Daemon {
	readonly #deps: Deps;
	readonly #plan: DaemonPlan;
	#child: ChildProcess | undefined;
	#calmRestart: (() => void) | undefined;
	#stopping = false;
	#failures = 0;
	#starts = 0;
	#proxy: string | undefined;
	#lastLine = "";
	#window = { sinceMs: 0, count: 0 };

	constructor(deps: Deps, plan: DaemonPlan) {
		this.#deps = deps;
		this.#plan = plan;
	}

	/** How often it was started again. */
	get restarts(): number {
		return Math.max(0, this.#starts - 1);
	}

	/** The last thing it said. */
	get lastLine(): string {
		return this.#lastLine;
	}

	/** `http://host:port` of its proxy; undefined with a tun device, and until it has said so. */
	get proxy(): string | undefined {
		return this.#proxy === undefined ? undefined : `http://${this.#proxy}`;
	}

	/** Starts it unless it runs. */
	start(): void {
		if (this.#child !== undefined || this.#calmRestart !== undefined || this.#stopping) return;
		this.#spawn();
	}

	/** Ends it, so that it is started again. */
	renew(): void {
		if (this.#child !== undefined && !this.#stopping) endGroup(this.#child);
	}

	/** Ends it; resolves once it is gone. */
	async stop(): Promise<void> {
		this.#stopping = true;
		this.#calmRestart?.();
		const child = this.#child;
		if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
		const gone = new Promise<void>((resolve) => {
			child.once("exit", () => resolve());
		});
		// In userspace there is nothing to give back, and the login is replaced atomically: a client that is cut off loses nothing.
		if (this.#plan.mode === "tun") child.kill("SIGTERM");
		const calm = this.#deps.timers.after(this.#plan.mode === "tun" ? stopMs : 0, () => endGroup(child));
		await gone;
		calm();
		rmSync(runningPath(this.#plan.meshDir), { force: true });
	}

	#spawn(): void {
		const { program, mode, meshDir, env } = this.#plan;
		const { clock, log } = this.#deps;
		rmSync(daemonSocket(meshDir), { force: true });
		this.#starts += 1;
		this.#proxy = undefined;
		const startedMs = clock.monotonic();
		// A process group of its own: Ctrl-C is for the worker, which still has to take its leave through this client.
		const args = ["-c", keeper, "sh", program, ...daemonArgs(mode, meshDir)];
		const child = spawn("/bin/sh", args, { env, cwd: meshDir, detached: true, stdio: ["pipe", "ignore", "pipe"] });
		this.#child = child;
		this.#note();
		if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => this.#heard(line));
		let ended = false;
		const end = (why: string) => {
			if (ended) return;
			ended = true;
			this.#child = undefined;
			this.#proxy = undefined;
			if (this.#stopping) return;
			this.#failures = clock.monotonic() - startedMs >= wellMs ? 0 : this.#failures;
			const delayMs = fullJitter(restarts, this.#failures, this.#deps.random.fraction());
			this.#failures += 1;
			log.warn("mesh.client_ended", { why, said: this.#lastLine, againInMs: delayMs });
			this.#calmRestart = this.#deps.timers.after(delayMs, () => {
				this.#calmRestart = undefined;
				this.start();
			});
		};
		child.once("error", (error) => end(`Cannot run /bin/sh: ${reasonOf(error)}`));
		child.once("exit", (code, signal) => end(`tailscaled ended with ${code ?? signal ?? "nothing"}`));
	}

	#heard(line: string): void {
		const proxy = proxyOf(line);
		if (proxy !== undefined) {
			this.#proxy = proxy;
			this.#note();
		}
		if (this.#stopping) return;
		const { clock, log } = this.#deps;
		this.#lastLine = line.slice(0, lines.charactersMax);
		if (clock.monotonic() - this.#window.sinceMs >= lines.everyMs) {
			const dropped = this.#window.count - lines.max;
			if (dropped > 0) log.debug("mesh.client_said", { line: `(${dropped} lines left out)` });
			this.#window = { sinceMs: clock.monotonic(), count: 0 };
		}
		this.#window.count += 1;
		if (this.#window.count <= lines.max) log.debug("mesh.client_said", { line: this.#lastLine });
	}

	/** Says in the mesh directory where the proxy is, for `doctor`. */
	#note(): void {
		const running: RunningDaemon = { proxy: this.#proxy ?? null };
		try {
			replaceFile(this.#deps.disk, runningPath(this.#plan.meshDir), `${JSON.stringify(running)}\n`);
		} catch (error) {
			// Nothing but `doctor` misses it.
			this.#deps.log.debug("mesh.client_not_noted", { why: reasonOf(error) });
		}
	}
}

/** The command line of a client that is the worker's own. Every port is a free one, so that several workers can share a network. */
export function daemonArgs(mode: DaemonPlan["mode"], meshDir: string): readonly string[] {
	const own = [`--statedir=${meshDir}`, `--socket=${daemonSocket(meshDir)}`, "--port=0", "--no-logs-no-support"];
	return mode === "tun"
		? [...own, `--tun=${tunDevice}`]
		: [...own, "--tun=userspace-networking", "--outbound-http-proxy-listen=127.0.0.1:0"];
}

/** Where the client says that its proxy is: it has said so since 1.20, for whoever asks for a free port. */
export function proxyOf(line: string): string | undefined {
	return /HTTP proxy listening on (\S+:\d+)/.exec(line)?.[1];
}

function endGroup({ pid }: ChildProcess): void {
	try {
		if (pid !== undefined) process.kill(-pid, "SIGKILL");
	} catch {
		// It ended meanwhile.
	}
}

function runningPath(meshDir: string): string {
	return join(meshDir, "tailscaled.json");
}
