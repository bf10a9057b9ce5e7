import {
	chmodSync,
	closeSync,
	fsyncSync,
	mkdirSync,
	openSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { exitCodes } from "../src/protocol/codes.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";

/**
 * The few file operations the worker's state needs, one system call each, so that a test can stop the world between any two.
 * All throw the system's error, unless said otherwise.
 */
export interface Disk {
	/** The file's text, or undefined when there is no such file. */
	read(path: string): string | undefined;
	/** Writes the whole text to a file readable by its owner only, made if missing. Not durable before `sync`. */
	write(path: string, text: string): void;
	/** Makes a file that must not exist yet; throws `EEXIST` when it does. */
	create(path: string, text: string): void;
	/** Makes a file's content durable. */
	sync(path: string): void;
	/** Puts one file in another's place, atomically. */
	rename(from: string, to: string): void;
	/** Makes the names in a directory durable. */
	syncDir(path: string): void;
	/** Removes a file; nothing happens when there is none. */
	remove(path: string): void;
	/** When the file last changed, in milliseconds since the epoch; undefined when there is none. */
	changedAtMs(path: string): number | undefined;
	/** Sets the time of the last change. */
	touch(path: string, atMs: number): void;
}

const ownerOnly = 0o600;

/** The real file system. */
export const systemDisk: Disk = {
	read: (path) => absentAsUndefined(() => readFileSync(path, "utf8")),
	write(path, text) {
		writeFileSync(path, text, { mode: ownerOnly });
		// A mode is only used for a new file; one that a copy or an older release left behind may be wider.
		chmodSync(path, ownerOnly);
	},
	create: (path, text) => writeFileSync(path, text, { flag: "wx", mode: ownerOnly }),
	sync: (path) => fsync(path, "r+"),
	rename: renameSync,
	syncDir(path) {
		// Windows cannot open a directory; NTFS journals the names itself.
		if (process.platform !== "win32") fsync(path, "r");
	},
	remove: (path) => rmSync(path, { force: true }),
	changedAtMs: (path) => absentAsUndefined(() => statSync(path).mtimeMs),
	touch: (path, atMs) => utimesSync(path, atMs / 1000, atMs / 1000),
};

/**
 * Replaces a file so that a crash or a power failure at any moment leaves the old content or the new, never a part of it.
 * When it returns, the new content is durable. One writer at a time (worker/lock.ts). Throws `Fatal` 73 when it cannot.
 */
export function replaceFile(disk: Disk, path: string, text: string): void {
	const temporary = join(dirname(path), `.${basename(path).replace(/^\./, "")}.tmp`);
	guard("write", path, () => {
		disk.write(temporary, text);
		disk.sync(temporary);
		disk.rename(temporary, path);
		disk.syncDir(dirname(path));
	});
}

/** Removes a file durably; nothing happens when there is none. Throws `Fatal` 73 when it cannot. */
export function removeFile(disk: Disk, path: string): void {
	guard("remove", path, () => {
		disk.remove(path);
		disk.syncDir(dirname(path));
	});
}

/** Makes a directory and its parents, for the owner only, if missing. Throws the system's error. */
export function makePrivateDir(path: string): void {
	mkdirSync(path, { recursive: true, mode: 0o700 });
}

function guard(verb: string, path: string, action: () => void): void {
	try {
		action();
	} catch (error) {
		if (errnoOf(error) === undefined) throw error;
		throw new Fatal(
			exitCodes.cannotCreate,
			`Cannot ${verb} "${path}": ${reasonOf(error)}; make room and give the worker's user write access to the state directory`,
			{ cause: error },
		);
	}
}

function fsync(path: string, flags: string): void {
	const file = openSync(path, flags);
	try {
		fsyncSync(file);
	} finally {
		closeSync(file);
	}
}

function absentAsUndefined<T>(action: () => T): T | undefined {
	try {
		return action();
	} catch (error) {
		const code = errnoOf(error);
		if (code === "ENOENT" || code === "ENOTDIR") return undefined;
		throw error;
	}
}
