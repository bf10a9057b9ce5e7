import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { Clock } from "../src/lib/clock.ts";
import type { Random } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import type { Disk } from "./disk.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";

/**
 * One worker per state directory. The lock is the file `worker.lock`, made with O_EXCL, that says which process holds it. A holder on the same
 * kernel and in the same process namespace is looked up by pid and start time, so that neither a crash nor a pid used again blocks the
 * next start. Any other holder (another container on the same volume, or a system without /proc) cannot be looked up for sure: it counts as
 * alive while the file was touched within the last 30 seconds, which a running worker does every 10.
 */
const holderSchema = v.object({
	version: v.literal(1),
	pid: v.number(),
	/** When the process started, in the kernel's own unit; absent where that cannot be read. */
	started: v.nullable(v.string()),
	/** Which kernel boot and which process namespace the pid belongs to; absent where that cannot be read. */
	realm: v.nullable(v.string()),
	/** Tells this process from a former one with the same pid, as after a container's restart, where every worker is pid 1. */
	nonce: v.string(),
});
/** Who holds a state directory. */
export type Holder = v.InferOutput<typeof holderSchema>;

/** What the lock needs to know of processes. */
export interface Processes {
	readonly self: Holder;
	/** When the process with this pid started, null when that cannot be read; undefined when there is no such process. */
	startedOf(pid: number): string | null | undefined;
}

type Deps = { readonly disk: Disk; readonly clock: Clock; readonly processes: Processes };

/** How often the holder touches the lock, in milliseconds. */
export const lockTouchMs = 10_000;
const freshMs = 30_000;

/** A held lock. */
export interface Lock {
	/** Says that the holder is still there; false when the lock was taken by another. */
	touch(): boolean;
	/** Gives the lock back; does nothing when it is no longer ours. */
	release(): void;
}

/** Takes the lock of a state directory. Throws `Fatal` 75 when a living worker has it, 73 when the file cannot be written. */
export function takeLock(deps: Deps, stateDir: string): Lock {
	const path = lockPath(stateDir);
	const text = JSON.stringify(deps.processes.self);
	// Twice is enough: once to find a dead holder's file and remove it, once to take its place; who loses that race has a living rival.
	for (let attempt = 0; attempt < 3; attempt++) {
		try {
			deps.disk.create(path, text);
			deps.disk.touch(path, deps.clock.now());
			return heldLock(deps, path, text);
		} catch (error) {
			if (errnoOf(error) !== "EEXIST") throw cannotLock(path, error);
		}
		const holder = livingHolder(deps, stateDir);
		if (holder !== undefined) throw occupied(stateDir, holder, deps.processes.self);
		deps.disk.remove(path);
	}
	throw new Fatal(
		exitCodes.temporary,
		`Cannot use the state directory "${stateDir}": other workers are starting on it at this moment, start one only`,
	);
}

/** The worker that holds a state directory now, or undefined when none does. Reads only. */
export function livingHolder(deps: Deps, stateDir: string): Holder | "unknown" | undefined {
	const path = lockPath(stateDir);
	const text = deps.disk.read(path);
	if (text === undefined) return undefined;
	const holder = parseHolder(text);
	const { self } = deps.processes;
	if (holder !== undefined && holder.realm === self.realm) {
		if (holder.pid === self.pid) return holder.nonce === self.nonce ? holder : undefined;
		const started = deps.processes.startedOf(holder.pid);
		if (started === undefined) return undefined;
		if (started !== null && holder.started !== null) return started === holder.started ? holder : undefined;
	}
	const touchedMs = deps.disk.changedAtMs(path) ?? 0;
	return Math.abs(deps.clock.now() - touchedMs) < freshMs ? (holder ?? "unknown") : undefined;
}

/** Reads about processes from /proc where there is one, else from the signal 0 alone. */
export function systemProcesses(random: Random): Processes {
	const started = procStart(process.pid);
	return {
		self: {
			version: 1,
			pid: process.pid,
			started: started ?? null,
			realm: readRealm(),
			nonce: Buffer.from(random.bytes(8)).toString("hex"),
		},
		startedOf(pid) {
			try {
				process.kill(pid, 0);
			} catch (error) {
				// EPERM: it lives, and belongs to somebody else.
				if (errnoOf(error) !== "EPERM") return undefined;
			}
			return procStart(pid) ?? null;
		},
	};
}

function heldLock({ disk, clock }: Deps, path: string, text: string): Lock {
	return {
		touch() {
			if (disk.read(path) !== text) return false;
			disk.touch(path, clock.now());
			return true;
		},
		release() {
			if (disk.read(path) === text) disk.remove(path);
		},
	};
}

function lockPath(stateDir: string): string {
	return join(stateDir, "worker.lock");
}

function parseHolder(text: string): Holder | undefined {
	try {
		const parsed = v.safeParse(holderSchema, JSON.parse(text));
		return parsed.success ? parsed.output : undefined;
	} catch {
		// Half written: its maker has not finished, or was killed while writing. Its age decides.
		return undefined;
	}
}

function occupied(stateDir: string, holder: Holder | "unknown", self: Holder): Fatal {
	const who =
		holder === "unknown"
			? "another worker"
			: `the worker with pid ${holder.pid}${holder.realm === self.realm ? "" : " in another container"}`;
	return new Fatal(
		exitCodes.temporary,
		`Cannot use the state directory "${stateDir}": ${who} uses it, stop that one or give this one another MUSTER_STATE_DIR`,
	);
}

function cannotLock(path: string, error: unknown): Fatal {
	return new Fatal(
		exitCodes.cannotCreate,
		`Cannot write "${path}": ${reasonOf(error)}; make room and give the worker's user write access to the state directory`,
		{ cause: error },
	);
}

/** Field 22 of /proc/<pid>/stat: the start time in ticks since boot. The command name before it may hold spaces and brackets. */
function procStart(pid: number): string | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
	} catch {
		return undefined;
	}
}

function readRealm(): string | null {
	try {
		return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
	} catch {
		return null;
	}
}
