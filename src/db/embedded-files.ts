import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, link, lstat, mkdir, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { platform, userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Who PostgreSQL runs as: it refuses root, so root lends it another account. */
export interface Account {
	readonly name: string;
	readonly uid: number;
	readonly gid: number;
}

/** Where a cluster, its socket and its log live. */
export interface ClusterPlace {
	readonly cluster: string;
	readonly socketDir: string;
	readonly log: string;
}

/** The longest path a Unix socket may have is 107 bytes (103 on macOS), `/.s.PGSQL.5432` takes 14 of them. */
const socketDirMax = 89;
const logBytesMax = 10 * 1024 * 1024;
/** Not the worker's own /var/lib/muster, which nobody else may enter. */
const outsideHome = "/var/lib/muster-postgres";
/** Where clusters were made before. */
const outsideHomes = [outsideHome, "/var/lib/muster"];

/** The account to run PostgreSQL as: root takes `postgres`, else `nobody`; everybody else runs it as themselves (undefined). */
export async function postgresAccount(): Promise<Account | undefined> {
	if (platform() === "win32" || uidOfThisProcess() !== 0) return undefined;
	const passwd = await readFile("/etc/passwd", "utf8").catch(() => "");
	for (const wanted of ["postgres", "nobody"]) {
		const line = passwd.split("\n").find((row) => row.startsWith(`${wanted}:`));
		const [name, , uid, gid] = line?.split(":") ?? [];
		if (name !== undefined && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
	}
	throw new Error("PostgreSQL refuses to run as root, and there is no user postgres or nobody: run as another user, or set DATABASE_URL");
}

/** -1 for a user that has no name, as in a container run with a bare number. */
function uidOfThisProcess(): number {
	try {
		return userInfo().uid;
	} catch {
		return -1;
	}
}

/** Whether other users can go through every directory down to and into `path`. */
export async function reachable(path: string): Promise<boolean> {
	for (let at = await realpath(path); ; at = dirname(at)) {
		const { mode } = await stat(at);
		if ((mode & 0o001) === 0) return false;
		if (dirname(at) === at) return true;
	}
}

/**
 * Makes what the cluster needs around it and gives the account its part. It lives in the data directory where the account can get there;
 * else (root's own checkout) below /var/lib/muster-postgres, under a name kept in the data directory. The data directory stays root's own, so
 * that an account shared with other services cannot exchange the secrets in it; the account's group may pass through.
 */
export async function clusterPlace(dataDir: string, account: Account | undefined): Promise<ClusterPlace> {
	const home = account === undefined ? dataDir : await homeFor(dataDir, account);
	const socketDir = socketDirOf(home);
	if (platform() !== "win32") await makeSocketDir(socketDir, account);
	const log = join(home, "postgres.log");
	await rotate(log);
	if (account !== undefined) {
		await writeFile(log, "", { flag: "a", mode: 0o600 });
		await chown(log, account.uid, account.gid);
	}
	return { cluster: join(home, "postgres"), socketDir, log };
}

async function homeFor(dataDir: string, account: Account): Promise<string> {
	const marker = join(dataDir, "postgres-location");
	let home = (await readFile(marker, "utf8").catch(() => undefined))?.trim();
	if (home === undefined) {
		if (await reachable(dirname(dataDir))) {
			home = dataDir;
		} else {
			home = join(outsideHome, `postgres-${randomBytes(6).toString("hex")}`);
			await mkdir(outsideHome, { recursive: true });
			// Whatever the umask: the account has to get through.
			await chmod(outsideHome, 0o755);
			home = await keepOnce(marker, home);
		}
	}
	await mkdir(home, { recursive: true, mode: 0o710 });
	await chown(home, 0, account.gid);
	await chmod(home, 0o710);
	return home;
}

/** Writes a file unless it is there, in one step; gives what it holds then. Of several processes one wins, and all get the same. */
export async function keepOnce(file: string, value: string): Promise<string> {
	const kept = await readFile(file, "utf8").catch(() => undefined);
	if (kept !== undefined && kept.trim() !== "") return kept.trim();
	const fresh = `${file}.${randomBytes(4).toString("hex")}`;
	await writeFile(fresh, value, { mode: 0o600, flush: true });
	try {
		await link(fresh, file);
		return value;
	} catch (error) {
		const other = await readFile(file, "utf8").catch(() => "");
		if (other.trim() === "") throw error;
		return other.trim();
	} finally {
		await rm(fresh, { force: true });
	}
}

/** Keeps one former log. A server that is adopted goes on with that one. */
async function rotate(log: string): Promise<void> {
	const size = (await stat(log).catch(() => undefined))?.size ?? 0;
	if (size > logBytesMax) await rename(log, `${log}.1`);
}

function socketDirOf(home: string): string {
	const inside = join(home, "socket");
	if (Buffer.byteLength(inside) <= socketDirMax) return inside;
	return join("/tmp", `muster-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`);
}

/** A directory of the account alone. Below /tmp somebody else may have made it: looked at before it is touched. */
async function makeSocketDir(path: string, account: Account | undefined): Promise<void> {
	const made = await mkdir(path, { mode: 0o700 }).then(
		() => true,
		(error: NodeJS.ErrnoException) => {
			if (error.code === "EEXIST") return false;
			throw error;
		},
	);
	const found = await lstat(path);
	const owner = account?.uid ?? uidOfThisProcess();
	const ours = found.isDirectory() && (owner === -1 || found.uid === owner || (account !== undefined && found.uid === 0));
	if (!made && !ours) throw new Error(`Cannot use ${path} for the database's socket: it belongs to somebody else, remove it`);
	await chmod(path, 0o700);
	if (account !== undefined) await chown(path, account.uid, account.gid);
}

/** Removes a data directory and what lives elsewhere on its behalf. The database must be stopped. For demos and tests. */
export async function removeDataDir(dataDir: string): Promise<void> {
	const home = (await readFile(join(dataDir, "postgres-location"), "utf8").catch(() => resolve(dataDir))).trim();
	if (outsideHomes.some((outside) => home.startsWith(`${outside}/postgres-`))) await rm(home, { recursive: true, force: true });
	await rm(socketDirOf(home), { recursive: true, force: true });
	await rm(dataDir, { recursive: true, force: true });
}
