import { type Clock, systemClock } from "../src/lib/clock.ts";
import { systemRandom } from "../src/lib/random.ts";
import { within } from "../src/lib/within.ts";
import type { Fetch } from "./client.ts";
import type { Config } from "./config.ts";
import { type Disk, systemDisk } from "./disk.ts";
import { checkConfiguration, checkDocker, checkMesh, checkStateDir, readMembership } from "./doctor-local.ts";
import { checkAddresses, checkClock, checkIdentity } from "./doctor-server.ts";
import { dockerHost } from "./facts.ts";
import { Fatal, reasonOf } from "./fatal.ts";
import { type Processes, systemProcesses } from "./lock.ts";
import { lookAtMesh } from "./mesh-look.ts";
import { findStateDir } from "./state-dir.ts";

/** What one check found, in one line: a `FAIL` says what to do about it. */
export interface Finding {
	readonly verdict: "ok" | "FAIL" | "skip";
	readonly text: string;
}

/** What the checks need of the world. */
export interface DoctorDeps {
	readonly clock: Clock;
	readonly disk: Disk;
	readonly processes: Processes;
	readonly fetch: Fetch;
	/** The variable DOCKER_HOST. */
	readonly dockerHost: string | undefined;
	/** How long each check may take. */
	readonly deadlineMs: number;
}

const deadlineMs = 5_000;
const nameWidth = 15;

/**
 * Checks this host's way to its server, one line for each finding with its remedy. Resolves with 0 when nothing fails, else with 1. Changes nothing on
 * disk; the server is asked by a heartbeat without content, which it takes for a sign of life.
 */
export async function doctor(config: Config, print: (line: string) => void, deps: DoctorDeps = systemDeps()): Promise<number> {
	const signal = AbortSignal.timeout(deps.deadlineMs);
	const member = readMembership(deps, config);
	const identity = member.kind === "member" ? member.identity : undefined;
	// One that cannot be read is told by other checks.
	const look = soon(() => lookAtMesh(deps.disk, config, findQuietly(config.stateDir), identity));
	const addresses = checkAddresses(deps, config, member, look, signal);
	const checks: readonly (readonly [string, Promise<readonly Finding[]>])[] = [
		["configuration", soon(() => checkConfiguration(config, member))],
		["address", addresses.then(({ findings }) => findings)],
		["clock", addresses.then(({ answers }) => checkClock(answers))],
		["state directory", soon(() => checkStateDir(deps, config))],
		["identity", soon(() => checkIdentity(deps, config, member, { addresses, look }, signal))],
		["mesh", checkMesh(config.mesh.mode, look)],
		["docker", soon(() => checkDocker(config, deps.dockerHost, signal))],
	];
	let failed = false;
	for (const [name, work] of checks) {
		for (const { verdict, text } of await finished(work, deps.deadlineMs)) {
			failed ||= verdict === "FAIL";
			print(`${verdict.padEnd(4)}  ${name.padEnd(nameWidth)}  ${text}`);
		}
	}
	return failed ? 1 : 0;
}

function systemDeps(): DoctorDeps {
	const processes = systemProcesses(systemRandom);
	return { clock: systemClock, disk: systemDisk, processes, fetch: globalThis.fetch, dockerHost: dockerHost(), deadlineMs };
}

async function soon<T>(check: () => T | Promise<T>): Promise<T> {
	return check();
}

function findQuietly(stateDir: string | undefined): string | undefined {
	try {
		return findStateDir(stateDir);
	} catch (error) {
		if (error instanceof Fatal) return undefined;
		throw error;
	}
}

// All checks begin at once, so their deadlines run together. The signal ends what can be ended; a name service or a dead file system cannot.
async function finished(work: Promise<readonly Finding[]>, limitMs: number): Promise<readonly Finding[]> {
	const graceMs = 500;
	try {
		if (await within(work, limitMs + graceMs)) return await work;
		return [{ verdict: "FAIL", text: `no result within ${limitMs / 1_000} s: check this host's name service and its file systems` }];
	} catch (error) {
		return [{ verdict: "FAIL", text: `${reasonOf(error)}; this is a fault of the worker, please report it` }];
	}
}
