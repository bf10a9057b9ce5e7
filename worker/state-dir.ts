import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
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
	if (process.platform === "win32") return prepare(join(process.env.ProgramData ?? homedir(), "muster"));
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

function userStateDir(): string {
	return join(homedir(), ".muster");
}

function prepare(path: string): string {
	try {
		makePrivateDir(path);
		const stat = statSync(path);
		if (!stat.isDirectory()) throw new Fatal(exitCodes.cannotCreate, `Cannot use the state directory "${path}": it is no directory`);
		refuseShared(path, stat.mode);
		accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
		return path;
	} catch (error) {
		if (error instanceof Fatal) throw error;
		throw new Fatal(
			exitCodes.cannotCreate,
			`Cannot write the state directory "${path}": ${reasonOf(error)}; give the worker's user a writable one with MUSTER_STATE_DIR`,
			{ cause: error },
		);
	}
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
