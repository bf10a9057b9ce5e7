import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Log } from "../lib/log.ts";
import { Secret } from "../lib/secret.ts";
import { openConnection } from "./client.ts";
import { type Account, type ClusterPlace, clusterPlace, postgresAccount, postgresBinaries } from "./embedded-files.ts";
import { lockDataDir } from "./embedded-lock.ts";

/** The embedded database, running. */
export interface Embedded {
	readonly url: Secret;
	/** Whether it was running already, left behind by a server that was killed. */
	readonly adopted: boolean;
	/** Stops it (fast mode: sessions are cut, everything committed is kept). Safe to call twice. */
	stop(): Promise<void>;
}

const stopSeconds = 30;
const logBytesMax = 10 * 1024 * 1024;

/**
 * Starts the real PostgreSQL that npm brought, with its data in `dataDir` and no port: a socket in a private directory and a
 * generated password. Adopts one that a killed server left running. Refuses a data directory that another living server uses.
 */
export async function startEmbedded(options: { readonly dataDir: string; readonly log: Log }): Promise<Embedded> {
	const dataDir = resolve(options.dataDir);
	await mkdir(dirname(dataDir), { recursive: true });
	await mkdir(dataDir, { mode: 0o700, recursive: true });
	const account = await postgresAccount();
	const binaries = await postgresBinaries(account);
	const place = await clusterPlace(dataDir, account, () => `postgres-${randomBytes(6).toString("hex")}`);
	const run = runner(join(binaries, "bin"), account, place);
	const password = await passwordOf(dataDir);
	if (!(await exists(join(place.cluster, "PG_VERSION")))) {
		options.log.info("database.creating", { directory: place.cluster });
		await initialise(run, place, password, account);
	}
	const adopted = await isRunning(place);
	if (!adopted) {
		await clearStalePid(place);
		await rotateLog(place.log);
		await run("pg_ctl", ["start", "-w", "-t", "120", "-D", place.cluster, "-l", place.log, "-o", settings(place)]).catch(
			async (error: Error) => {
				throw new Error(`Cannot start the embedded PostgreSQL: ${error.message}\n${await tail(place.log)}`);
			},
		);
	}
	const url = (database: string) =>
		new Secret(`postgres://muster:${password}@localhost/${database}?host=${encodeURIComponent(place.socketDir)}`);
	const unlock = await lockDataDir(url("postgres"), dataDir);
	await createDatabase(url("postgres"));
	options.log.info("database.started", { directory: place.cluster, adopted });

	let stopping: Promise<void> | undefined;
	return {
		url: url("muster"),
		adopted,
		stop() {
			stopping ??= unlock().then(async () => {
				// One that crashed has nothing left to stop.
				if (await isRunning(place)) await run("pg_ctl", ["stop", "-m", "fast", "-w", "-t", String(stopSeconds), "-D", place.cluster]);
			});
			return stopping;
		},
	};
}

function settings({ socketDir }: ClusterPlace): string {
	const values = {
		listen_addresses: "",
		unix_socket_directories: socketDir,
		unix_socket_permissions: "0700",
		max_connections: "200",
		shared_buffers: "128MB",
		wal_compression: "on",
		log_min_messages: "warning",
		log_timezone: "UTC",
	};
	return Object.entries(values)
		.map(([name, value]) => `-c ${name}='${value.replaceAll("'", "")}'`)
		.join(" ");
}

/** initdb into a directory beside, then renamed: a crash half way leaves nothing that looks like a database. */
async function initialise(run: Run, { cluster }: ClusterPlace, password: string, account: Account | undefined): Promise<void> {
	const fresh = `${cluster}.new`;
	const passwordFile = `${cluster}.password`;
	await rm(fresh, { recursive: true, force: true });
	await writeFile(passwordFile, password, { mode: 0o600 });
	if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
	try {
		const locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"];
		await run("initdb", ["-D", fresh, "-U", "muster", "-A", "scram-sha-256", `--pwfile=${passwordFile}`, ...locale, "--no-instructions"]);
	} finally {
		await rm(passwordFile, { force: true });
	}
	await rename(fresh, cluster);
}

async function passwordOf(dataDir: string): Promise<string> {
	const file = join(dataDir, "postgres-password");
	const kept = await readFile(file, "utf8").catch(() => undefined);
	if (kept !== undefined) return kept.trim();
	const password = randomBytes(24).toString("hex");
	await writeFile(`${file}.new`, password, { mode: 0o600 });
	await rename(`${file}.new`, file);
	return password;
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

/** The process in postmaster.pid, if it lives and is a PostgreSQL: after a reboot another program may have its number. */
async function isRunning({ cluster }: ClusterPlace): Promise<boolean> {
	const pid = await pidOf(cluster);
	if (pid === undefined) return false;
	const command = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => undefined);
	if (command !== undefined) return command.trim() === "postgres" && (await ready(cluster));
	return !(await exists("/proc/self")) && (await ready(cluster));
}

/** The eighth line of postmaster.pid says `ready` once recovery is over; a start under way is waited for. */
async function ready(cluster: string): Promise<boolean> {
	for (let polls = 0; polls < 600; polls++) {
		const lines = (await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
		if (lines.length < 2) return false;
		if (lines[7]?.trim() === "ready") return true;
		await wait(100);
	}
	return false;
}

async function clearStalePid({ cluster }: ClusterPlace): Promise<void> {
	await rm(join(cluster, "postmaster.pid"), { force: true });
}

async function pidOf(cluster: string): Promise<number | undefined> {
	const pid = Number((await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "")).split("\n")[0]);
	return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

async function rotateLog(log: string): Promise<void> {
	const size = (await stat(log).catch(() => undefined))?.size ?? 0;
	if (size > logBytesMax) await rename(log, `${log}.1`);
}

async function tail(log: string): Promise<string> {
	return (await readFile(log, "utf8").catch(() => "")).split("\n").slice(-6).join("\n");
}

async function exists(path: string): Promise<boolean> {
	return (await stat(path).catch(() => undefined)) !== undefined;
}

type Run = (program: "initdb" | "pg_ctl", args: readonly string[]) => Promise<void>;

/** Runs one of the programs as the account; its output is the error's text when it fails. The environment holds no PG* of ours. */
function runner(bin: string, account: Account | undefined, { cluster }: ClusterPlace): Run {
	return (program, args) =>
		new Promise((done, failed) => {
			const child = spawn(join(bin, program), [...args], {
				cwd: "/",
				env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", PGDATA: cluster },
				stdio: ["ignore", "pipe", "pipe"],
				...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
			});
			let output = "";
			const take = (chunk: Buffer) => {
				if (output.length < 8_192) output += chunk.toString();
			};
			child.stdout.on("data", take);
			child.stderr.on("data", take);
			child.on("error", (error) => failed(new Error(`Cannot run ${join(bin, program)}: ${error.message}`)));
			// Not "close": the server that pg_ctl leaves behind may hold the pipes open.
			child.on("exit", (code) => {
				child.stdout.destroy();
				child.stderr.destroy();
				if (code === 0) done();
				else failed(new Error(`${program} ended with ${code}: ${output.trim()}`));
			});
		});
}
