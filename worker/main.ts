/**
 * The worker's entry. Exit codes (sysexits; `exitCodeTable` in cli.ts is the list that --help prints):
 * 0 stopped or done · 1 `status`: not enrolled, `doctor`: a check failed · 64 malformed request · 70 a fault of the worker · 73 state directory not usable ·
 * 74 id and key do not belong together, or a second machine with this identity · 75 state directory in use, or `enroll` out of time · 77 refused for good ·
 * 78 configuration.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { systemClock } from "../src/lib/clock.ts";
import { type Log, openLog } from "../src/lib/log.ts";
import { systemRandom } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Command, type CommandLine, helpText, parseCommandLine } from "./cli.ts";
import { type Config, type ParsedConfig, parseConfig } from "./config.ts";
import { systemDisk } from "./disk.ts";
import { doctor } from "./doctor.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";
import { identityStore } from "./identity.ts";
import { livingHolder, systemProcesses } from "./lock.ts";
import { lookAtMesh, meshLine } from "./mesh-look.ts";
import { formatConfig } from "./print-config.ts";
import { reloader } from "./reload.ts";
import { Problems, startWorker } from "./start.ts";
import { findStateDir } from "./state-dir.ts";
import { askWorker, formatStatus, readStatus } from "./status.ts";
import { systemTimers } from "./timers.ts";
import { findToml } from "./toml.ts";
import { workerVersion } from "./version.ts";

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
	// The compiled worker would obey these, and so would every child that is a Bun program (RUNTIME.md, 6).
	for (const name of Object.keys(process.env)) if (name.startsWith("BUN_")) delete process.env[name];
	const line = parseCommandLine(args);
	const parsed = readConfig(line);
	const log = openWorkerLog(parsed.config);
	for (const event of ["uncaughtException", "unhandledRejection"] as const) {
		process.on(event, (error: unknown) => {
			log.error("worker.failed", { exitCode: exitCodes.software, error: error instanceof Error ? error : reasonOf(error) });
			process.exit(exitCodes.software);
		});
	}
	if (line.command.kind === "help") return print(1, helpText(workerVersion));
	if (line.command.kind === "version") return print(1, `${workerVersion}\n`);
	try {
		const wrong = [...line.problems, ...parsed.problems];
		// Where the values come from is of most use when one of them is wrong.
		if (line.command.kind === "print-config") print(1, formatConfig(parsed));
		if (wrong.length > 0) throw new Problems(wrong);
		return await execute(log, line, line.command, parsed);
	} catch (error) {
		return explain(log, error);
	}
}

async function execute(
	log: Log,
	line: CommandLine,
	command: Exclude<Command, { readonly kind: "help" | "version" }>,
	parsed: ParsedConfig,
): Promise<number> {
	const { config } = parsed;
	if (command.kind === "print-config") return exitCodes.ok;
	if (command.kind === "status") return showStatus(config, command.format);
	if (command.kind === "doctor") return doctor(config, (text) => print(1, `${text}\n`));
	const deps = { clock: systemClock, random: systemRandom, timers: systemTimers, log, processes: systemProcesses(systemRandom) };
	const worker = startWorker(deps, config, command.kind === "enroll" ? command.timeoutSeconds : undefined);
	for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => worker.signal(name));
	if (command.kind === "run") {
		const apply = (next: Config) => {
			worker.reconfigure(next);
			openWorkerLog(next);
		};
		process.on(
			"SIGHUP",
			reloader(() => readConfig(line), apply, log, parsed),
		);
	}
	return worker.done;
}

/** Reads flags, variables and files, as at the start and at each SIGHUP. */
function readConfig(line: CommandLine): ParsedConfig {
	// On Windows every user may make /etc on the system's drive.
	const shared = process.platform === "win32" ? [] : ["/etc/muster/worker.toml"];
	const own = ownHome().map((home) => join(home, ".muster", "config.toml"));
	const toml = findToml({ exists: existsSync, read: readOwned }, line.configPath, [...own, ...shared]);
	return parseConfig(line.flags, process.env, (path) => readFileSync(path, "utf8"), toml);
}

/** The home directory, or none: a container's user may have no entry, and an empty HOME would mean wherever the worker is started. */
function ownHome(): readonly string[] {
	try {
		return [homedir()].filter((home) => isAbsolute(home));
	} catch {
		return [];
	}
}

/** A file's text and its permission bits, of one and the same file. */
function readOwned(path: string): { readonly text: string; readonly mode: number | undefined } {
	const file = openSync(path, "r");
	try {
		const mode = process.platform === "win32" ? undefined : fstatSync(file).mode;
		return { text: readFileSync(file, "utf8"), mode };
	} finally {
		closeSync(file);
	}
}

/** Every log of the process goes by the settings of the last call. */
function openWorkerLog({ logLevel, logFormat }: Config): Log {
	return openLog({ level: logLevel, format: logFormat }, (text) => print(2, `${text}\n`));
}

async function showStatus(config: Config, format: "text" | "json"): Promise<number> {
	const stateDir = findStateDir(config.stateDir);
	const deps = { disk: systemDisk, clock: systemClock, processes: systemProcesses(systemRandom) };
	const holder = stateDir === undefined ? undefined : livingHolder(deps, stateDir);
	const store = stateDir === undefined ? undefined : identityStore(systemDisk, stateDir);
	const report = await askWorker(config.metricsPort, holder);
	const identity = store?.peek();
	const look = await lookAtMesh(systemDisk, config, stateDir, identity);
	const named = look.status ?? look.mark;
	const text = meshLine(look);
	const mesh = text && {
		state: look.status?.backend ?? null,
		addresses: named?.addresses ?? [],
		nodeName: named?.nodeName ?? null,
		trouble: look.trouble ?? null,
		text,
	};
	const status = readStatus(
		stateDir,
		store,
		holder,
		{
			serverAddress: (config.serverAddr ?? (identity?.server?.mesh ? undefined : config.url))?.http.replace(/\/graphql$/, ""),
			apiKey: config.apiKey && { workerId: config.apiKey.workerId, hint: config.apiKey.key.reveal().slice(-4) },
		},
		report,
		mesh || null,
	);
	print(1, formatStatus(status, format));
	return status.enrolled ? 0 : 1;
}

/** Says in one line each why it cannot go on; returns the exit code. */
function explain(log: Log, error: unknown): number {
	if (error instanceof Problems) {
		for (const why of error.lines) log.error("worker.stopped", { exitCode: exitCodes.config, why });
		return exitCodes.config;
	}
	if (error instanceof Fatal) {
		log.error("worker.stopped", { exitCode: error.exitCode, why: error.message });
		return error.exitCode;
	}
	log.error("worker.failed", { exitCode: exitCodes.software, error: error instanceof Error ? error : reasonOf(error) });
	return exitCodes.software;
}

/** Writes at once, so that nothing is lost at exit; a reader that has gone away is no reason to stop. Returns 0. */
function print(file: 1 | 2, text: string): 0 {
	try {
		writeSync(file, text);
	} catch (error) {
		const code = errnoOf(error);
		if (code !== "EPIPE" && code !== "EAGAIN" && code !== "EIO") throw error;
	}
	return 0;
}
