import { spawn } from "node:child_process";
import { open, readFile, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { platform } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Account, ClusterPlace } from "./embedded-files.ts";

/** Runs one of PostgreSQL's programs to its end; rejects with its output when it fails. */
export type Run = (program: "initdb" | "pg_ctl", args: readonly string[]) => Promise<void>;

/** A postmaster that lives, as its postmaster.pid describes it. */
export interface Postmaster {
	readonly pid: number;
	readonly port: number;
	/** Empty where there are no Unix sockets. */
	readonly socketDir: string;
	/** Whether recovery is over and it takes connections. */
	readonly ready: boolean;
}

const outputMax = 8_192;
/** Recovery after a crash reads at most max_wal_size (1 GB) again. */
export const recoverySeconds = 600;
const pollMs = 50;
const unixPort = 5432;

/** The programs in `bin`, run as the account. They see no environment of ours: no PG* variable changes what they do. */
export function programs(bin: string, account: Account | undefined, { cluster }: ClusterPlace): Run {
	const windows = platform() === "win32";
	return (program, args) =>
		new Promise((done, failed) => {
			const path = join(bin, windows ? `${program}.exe` : program);
			const child = spawn(path, [...args], {
				cwd: windows ? bin : "/",
				// Windows finds nothing without its own variables.
				...(windows ? {} : { env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", PGDATA: cluster } }),
				stdio: ["ignore", "pipe", "pipe"],
				...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
			});
			let output = "";
			const take = (chunk: Buffer) => {
				if (output.length < outputMax) output += chunk.toString();
			};
			child.stdout.on("data", take);
			child.stderr.on("data", take);
			child.on("error", (error) => failed(new Error(`Cannot run ${path}: ${error.message}`)));
			// Not "close": the server that pg_ctl leaves behind may hold the pipes open.
			child.on("exit", (code, signal) => {
				child.stdout.destroy();
				child.stderr.destroy();
				if (code === 0) done();
				else failed(new Error(`${program} ended with ${code ?? signal}: ${output.trim()}`));
			});
		});
}

/** The living postmaster of a cluster; undefined when there is none. Needs to be the account or root. */
export async function livingPostmaster(place: ClusterPlace, run: Run): Promise<Postmaster | undefined> {
	const noted = await notedPostmaster(place);
	if (noted === undefined) return undefined;
	return (await isPostmaster(place, noted.pid, run)) ? noted : undefined;
}

async function notedPostmaster({ cluster }: ClusterPlace): Promise<Postmaster | undefined> {
	const text = await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "");
	const [pid, , , port, socketDir = "", , , status = ""] = text.split("\n");
	if (!(Number(pid) > 0)) return undefined;
	return { pid: Number(pid), port: Number(port) || unixPort, socketDir: socketDir.trim(), ready: status.trim() === "ready" };
}

/** After a reboot another program may have the number: a postmaster is a `postgres` that works in the cluster's directory. */
async function isPostmaster({ cluster }: ClusterPlace, pid: number, run: Run): Promise<boolean> {
	if ((await stat("/proc/self").catch(() => undefined)) === undefined) {
		return run("pg_ctl", ["status", "-D", cluster]).then(
			() => true,
			() => false,
		);
	}
	const comm = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
	if (comm.trim() !== "postgres") return false;
	const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
	if (cwd !== undefined) return cwd === (await realpath(cluster).catch(() => cluster));
	// Another user's, or root without CAP_SYS_PTRACE (a container): its arguments are open to all.
	return (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0").includes(cluster);
}

/** Waits until the postmaster that is starting or recovering takes connections. Undefined when it ends meanwhile. */
export async function readyPostmaster(place: ClusterPlace, run: Run): Promise<Postmaster | undefined> {
	for (let left = recoverySeconds * 1_000; left > 0; left -= pollMs) {
		const postmaster = await livingPostmaster(place, run);
		if (postmaster === undefined || postmaster.ready) return postmaster;
		await wait(pollMs);
	}
	throw new Error(`The embedded PostgreSQL in ${place.cluster} did not become ready within ${recoverySeconds} s: see ${place.log}`);
}

/**
 * Starts the cluster, or waits for another process that does. PostgreSQL itself clears away what a crash left, except a note of a process
 * number that another program has now; that note is moved out of the way here. Rejects with the end of PostgreSQL's log.
 */
export async function startPostmaster(place: ClusterPlace, run: Run): Promise<Postmaster> {
	await clearForeignPid(place, run);
	const at = await endpoint(place);
	const settings = {
		...at,
		max_connections: "200",
		shared_buffers: "128MB",
		wal_compression: "on",
		log_min_messages: "warning",
		log_timezone: "UTC",
	};
	const flags = Object.entries(settings).map(([name, value]) => `-c ${name}="${value.replace(/["\\$`]/g, "\\$&")}"`);
	const args = ["start", "-w", "-t", String(recoverySeconds), "-D", place.cluster, "-l", place.log, "-o", flags.join(" ")];
	const failure = await run("pg_ctl", args).then(
		() => undefined,
		(error: Error) => error,
	);
	const postmaster = await readyPostmaster(place, run);
	if (postmaster !== undefined) return postmaster;
	throw new Error(`Cannot start the embedded PostgreSQL: ${failure?.message ?? "it ended at once"}\n${await tail(place.log)}`);
}

/** Fast mode: sessions are cut, what was committed is kept. Done at once when none runs. */
export async function stopPostmaster(place: ClusterPlace, run: Run): Promise<void> {
	if ((await livingPostmaster(place, run)) === undefined) return;
	try {
		await run("pg_ctl", ["stop", "-m", "fast", "-w", "-t", "30", "-D", place.cluster]);
	} catch (error) {
		if ((await livingPostmaster(place, run)) !== undefined) throw error;
	}
}

async function clearForeignPid(place: ClusterPlace, run: Run): Promise<void> {
	const file = join(place.cluster, "postmaster.pid");
	const noted = await notedPostmaster(place);
	if (noted === undefined || (await isPostmaster(place, noted.pid, run))) return;
	// Moved first and looked at again: somebody may have started a server since.
	const aside = `${file}.stale`;
	await rename(file, aside).catch(() => {});
	const moved = Number((await readFile(aside, "utf8").catch(() => "")).split("\n")[0]);
	if (moved !== noted.pid) await rename(aside, file).catch(() => {});
	else await rm(aside, { force: true });
}

/** A socket in the private directory; where there are none that the runtimes can use, a port on the loopback. */
async function endpoint({ socketDir }: ClusterPlace): Promise<Record<string, string>> {
	if (platform() !== "win32") {
		return { listen_addresses: "", unix_socket_directories: socketDir, unix_socket_permissions: "0700", port: String(unixPort) };
	}
	return { listen_addresses: "127.0.0.1", unix_socket_directories: "", port: String(await freePort()) };
}

function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const probe = createServer();
		probe.on("error", reject);
		probe.listen(0, "127.0.0.1", () => {
			const address = probe.address();
			probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : unixPort));
		});
	});
}

/** The last lines of the log, read from its end: it may be large. */
async function tail(log: string): Promise<string> {
	const file = await open(log, "r").catch(() => undefined);
	if (file === undefined) return "";
	try {
		const { size } = await file.stat();
		const { buffer, bytesRead } = await file.read(Buffer.alloc(2_048), 0, 2_048, Math.max(0, size - 2_048));
		return buffer.toString("utf8", 0, bytesRead).trim().split("\n").slice(-6).join("\n");
	} finally {
		await file.close();
	}
}
