import { randomBytes } from "node:crypto";
import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Log } from "../lib/log.ts";
import { Secret } from "../lib/secret.ts";
import { openConnection } from "./client.ts";
import { postgresBinaries } from "./embedded-binaries.ts";
import { type Account, type ClusterPlace, clusterPlace, keepOnce, postgresAccount } from "./embedded-files.ts";
import { lockDataDir } from "./embedded-lock.ts";
import {
	livingPostmaster,
	type Postmaster,
	programs,
	type Run,
	readyPostmaster,
	startPostmaster,
	stopPostmaster,
} from "./embedded-process.ts";

/** The embedded database, running. */
export interface Embedded {
	/** The database `muster`, as its superuser `muster`; on a Unix socket `?host=` names the socket's directory. */
	readonly url: Secret;
	/** Whether it was running already, left behind by a server that was killed. */
	readonly adopted: boolean;
	/** Stops it (fast mode: sessions are cut, everything committed is kept). Safe to call twice, and when it runs no more. */
	stop(): Promise<void>;
}

/** The major version of the npm package; a cluster's files are of one. */
const majorVersion = "18";
/** An initdb takes seconds; what is older was left by a crash. */
const abandonedMs = 3_600_000;

/**
 * Starts the real PostgreSQL that npm brought, with its data in `dataDir` and no port: a socket in a private directory and a
 * generated password. Adopts one that a killed server left running. Refuses, naming the directory, when another living server uses it;
 * of several that start at once exactly one gets it.
 */
export async function startEmbedded(options: { readonly dataDir: string; readonly log: Log }): Promise<Embedded> {
	const { log } = options;
	const dataDir = resolve(options.dataDir);
	await makeDataDir(dataDir);
	const account = await postgresAccount();
	const place = await clusterPlace(dataDir, account);
	if (dirname(place.cluster) !== dataDir)
		log.info("database.elsewhere", { directory: place.cluster, because: `${dataDir} is closed to ${account?.name}` });
	const run = programs(join(await postgresBinaries(dataDir, account), "bin"), account, place);
	const password = await keepOnce(join(dataDir, "postgres-password"), randomBytes(24).toString("hex"));
	if ((await versionOf(place)) === undefined) {
		log.info("database.creating", { directory: place.cluster });
		await initialise(run, place, password, account);
	}
	const version = await versionOf(place);
	if (version !== majorVersion) {
		throw new Error(
			`The database in ${place.cluster} is of PostgreSQL ${version}, this is ${majorVersion}: dump it with the version it is of, or move the directory away`,
		);
	}
	const adoptable = await readyPostmaster(place, run);
	const postmaster = adoptable ?? (await startPostmaster(place, run));
	const urlOf = (database: string) => address(postmaster, place, password, database);
	const alive = async () => (await livingPostmaster(place, run))?.pid === postmaster.pid;
	const lock = await lockDataDir(urlOf("postgres"), dataDir, log, alive);
	let stopping: Promise<void> | undefined;
	/** The lock is held until it has stopped, so that nobody adopts what is going down. */
	function stop(): Promise<void> {
		lock.ending();
		stopping ??= stopPostmaster(place, run).finally(() => lock.release());
		return stopping;
	}
	try {
		await createDatabase(urlOf("postgres"));
	} catch (error) {
		await stop();
		throw error;
	}
	log.info("database.started", { directory: place.cluster, adopted: adoptable !== undefined });
	return { url: urlOf("muster"), adopted: adoptable !== undefined, stop };
}

async function makeDataDir(dataDir: string): Promise<void> {
	try {
		await mkdir(dirname(dataDir), { recursive: true });
		await mkdir(dataDir, { recursive: true, mode: 0o700 });
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new Error(`Cannot make the data directory ${dataDir}: ${why}; give write access, or set MUSTER_DATA_DIR to another place`, {
			cause,
		});
	}
}

function address({ port, socketDir }: Postmaster, place: ClusterPlace, password: string, database: string): Secret {
	if (socketDir === "") return new Secret(`postgres://muster:${password}@127.0.0.1:${port}/${database}`);
	// Where it listens, not where it would listen now: the data directory may have been moved meanwhile.
	return new Secret(
		`postgres://muster:${password}@localhost:${port}/${database}?host=${encodeURIComponent(socketDir.startsWith("/") ? socketDir : place.socketDir)}`,
	);
}

async function versionOf({ cluster }: ClusterPlace): Promise<string | undefined> {
	return (await readFile(join(cluster, "PG_VERSION"), "utf8").catch(() => undefined))?.trim();
}

/** initdb into a directory beside, then renamed: a crash half way leaves nothing that looks like a database. Of two at once the second yields. */
async function initialise(run: Run, place: ClusterPlace, password: string, account: Account | undefined): Promise<void> {
	const { cluster } = place;
	const fresh = `${cluster}.new-${randomBytes(4).toString("hex")}`;
	const passwordFile = `${fresh}.password`;
	await removeAbandoned(cluster);
	await mkdir(fresh, { mode: 0o700 });
	await writeFile(passwordFile, password, { mode: 0o600 });
	if (account !== undefined) for (const path of [fresh, passwordFile]) await chown(path, account.uid, account.gid);
	try {
		const locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"];
		await run("initdb", ["-D", fresh, "-U", "muster", "-A", "scram-sha-256", `--pwfile=${passwordFile}`, ...locale, "--no-instructions"]);
		await rename(fresh, cluster);
	} catch (cause) {
		await rm(fresh, { recursive: true, force: true });
		if ((await versionOf(place)) !== undefined) return;
		const why = cause instanceof Error ? cause.message : String(cause);
		throw new Error(`Cannot create the database in ${cluster}: ${why}; make room and give write access, or set DATABASE_URL`, { cause });
	} finally {
		await rm(passwordFile, { force: true });
	}
}

async function removeAbandoned(cluster: string): Promise<void> {
	const home = dirname(cluster);
	for (const name of await readdir(home)) {
		if (!/^postgres\.new-[0-9a-f]{8}(\.password)?$/.test(name)) continue;
		const found = await stat(join(home, name)).catch(() => undefined);
		if (found !== undefined && performance.timeOrigin + performance.now() - found.mtimeMs > abandonedMs) {
			await rm(join(home, name), { recursive: true, force: true });
		}
	}
}

async function createDatabase(url: Secret): Promise<void> {
	const { sql, close } = await openConnection(url, { applicationName: "muster-setup" });
	try {
		const found = await sql`select 1 from pg_database where datname = 'muster'`;
		if (found.length === 0) await sql`create database muster`;
	} finally {
		close();
	}
}
