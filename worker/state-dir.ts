import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { exitCodes } from "../src/protocol/codes.ts";
import { makePrivateDir } from "./disk.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";

/** Where the state is kept when nothing else is said and the worker has the rights to it. */
export const systemStateDir = "/var/lib/muster";

/**
 * Makes sure the state directory exists, belongs to this user alone and can be written, and returns its path: the given one, else
 * /var/lib/muster, else, without rights to that, ~/.muster. Throws `Fatal` 73 with the remedy.
 */
export function openStateDir(given: string | undefined): string {
	if (given !== undefined) return prepare(given);
	if (process.platform === "win32") return prepare(windowsStateDir());
	try {
		makePrivateDir(systemStateDir);
		accessSync(systemStateDir, constants.W_OK);
	} catch {
		return prepare(userStateDir());
	}
	return prepare(systemStateDir);
}

/**
 * The state directory `openStateDir` would choose, without making or changing anything, for `status`. Undefined when none exists.
 * Throws `Fatal` 74 when one exists that this user may not read.
 */
export function findStateDir(given: string | undefined): string | undefined {
	const candidates = given === undefined ? [systemStateDir, userStateDir()] : [given];
	for (const path of candidates) {
		if (statOf(path)?.isDirectory() !== true) continue;
		try {
			accessSync(path, constants.R_OK | constants.X_OK);
			return path;
		} catch (error) {
			throw new Fatal(exitCodes.ioError, `Cannot read the state directory "${path}": ${reasonOf(error)}; run this as the worker's user`, {
				cause: error,
			});
		}
	}
	return undefined;
}

/** What `openStateDir` would come upon. */
export interface StateDirFinding {
	readonly path: string;
	readonly exists: boolean;
	/** Why it cannot be used, with the remedy; undefined when it can. */
	readonly problem: string | undefined;
}

/** Looks at the directory that `openStateDir` would choose, without making or changing anything, for `doctor`. Never throws `Fatal`. */
export function examineStateDir(given: string | undefined): StateDirFinding {
	if (given !== undefined) return examine(given);
	if (process.platform === "win32") return examine(windowsStateDir());
	const system = examine(systemStateDir);
	const chosen = system.exists ? isWritable(systemStateDir) : system.problem === undefined;
	return chosen ? system : examine(userStateDir());
}

function examine(path: string): StateDirFinding {
	let exists = false;
	try {
		exists = statOf(path) !== undefined;
		if (exists) {
			refuseUnusable(path);
			return { path, exists, problem: undefined };
		}
		const parent = nearest(path);
		if (!statSync(parent).isDirectory()) {
			return {
				path,
				exists,
				problem: `Cannot make the state directory "${path}": "${parent}" is no directory, give another with MUSTER_STATE_DIR`,
			};
		}
		accessSync(parent, constants.W_OK | constants.X_OK);
		return { path, exists, problem: undefined };
	} catch (error) {
		return { path, exists, problem: error instanceof Fatal ? error.message : unwritable(path, error).message };
	}
}

/** The nearest thing above a path that exists. */
function nearest(path: string): string {
	const parent = dirname(resolve(path));
	return parent === path || statOf(parent) !== undefined ? parent : nearest(parent);
}

function isWritable(path: string): boolean {
	try {
		accessSync(path, constants.W_OK);
		return true;
	} catch {
		return false;
	}
}

function windowsStateDir(): string {
	return join(process.env.ProgramData ?? homedir(), "muster");
}

function userStateDir(): string {
	return join(homedir(), ".muster");
}

function prepare(path: string): string {
	try {
		makePrivateDir(path);
		refuseUnusable(path);
		return path;
	} catch (error) {
		throw error instanceof Fatal ? error : unwritable(path, error);
	}
}

function unwritable(path: string, error: unknown): Fatal {
	return new Fatal(
		exitCodes.cannotCreate,
		`Cannot write the state directory "${path}": ${reasonOf(error)}; give the worker's user a writable one with MUSTER_STATE_DIR`,
		{ cause: error },
	);
}

function refuseUnusable(path: string): void {
	const stat = statSync(path);
	if (!stat.isDirectory()) throw new Fatal(exitCodes.cannotCreate, `Cannot use the state directory "${path}": it is no directory`);
	refuseShared(path, stat.mode);
	accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
}

function refuseShared(path: string, mode: number): void {
	// Windows has no such bits; there the directory inherits the access list of ProgramData.
	if (process.platform === "win32" || (mode & 0o077) === 0) return;
	const bits = (mode & 0o777).toString(8).padStart(4, "0");
	throw new Fatal(
		exitCodes.cannotCreate,
		`Cannot use the state directory "${path}": other users can read it (${bits}), run chmod 0700 ${path}`,
	);
}

function statOf(path: string): ReturnType<typeof statSync> | undefined {
	try {
		return statSync(path);
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
		throw new Fatal(exitCodes.ioError, `Cannot read the state directory "${path}": ${reasonOf(error)}; run this as the worker's user`, {
			cause: error,
		});
	}
}
