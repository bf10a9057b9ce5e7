/**
 * The worker's entry. Exit codes (sysexits; `exitCodeTable` in cli.ts is the list that --help prints):
 * 0 stopped or done · 1 `status`: not enrolled · 64 malformed request · 70 a fault of the worker · 73 state directory not usable · 74 id and key do not
 * belong together, or a second machine with this identity · 75 state directory in use, or `enroll` out of time · 77 refused for good · 78 configuration.
 */
import { readFileSync, writeSync } from "node:fs";
import { systemClock } from "../src/lib/clock.ts";
import { type Log, openLog } from "../src/lib/log.ts";
import { systemRandom } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Command, helpText, parseCommandLine } from "./cli.ts";
import { type Config, parseConfig } from "./config.ts";
import { systemDisk } from "./disk.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";
import { identityStore } from "./identity.ts";
import { livingHolder, systemProcesses } from "./lock.ts";
import { Problems, startWorker } from "./start.ts";
import { findStateDir } from "./state-dir.ts";
import { formatStatus, readStatus } from "./status.ts";
import { systemTimers } from "./timers.ts";
import { workerVersion } from "./version.ts";

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
	// The compiled worker would obey these, and so would every child that is a Bun program (RUNTIME.md, 6).
	for (const name of Object.keys(process.env)) if (name.startsWith("BUN_")) delete process.env[name];
	const line = parseCommandLine(args);
	const { config, problems } = parseConfig(line.flags, process.env, (path) => readFileSync(path, "utf8"));
	const log = openLog({ level: config.logLevel, format: config.logFormat }, (text) => print(2, `${text}\n`));
	for (const event of ["uncaughtException", "unhandledRejection"] as const) {
		process.on(event, (error: unknown) => {
			log.error("worker.failed", { exitCode: exitCodes.software, error: error instanceof Error ? error : reasonOf(error) });
			process.exit(exitCodes.software);
		});
	}
	if (line.command.kind === "help") return print(1, helpText(workerVersion));
	if (line.command.kind === "version") return print(1, `${workerVersion}\n`);
	try {
		const wrong = [...line.problems, ...problems];
		if (wrong.length > 0) throw new Problems(wrong);
		return await execute(log, line.command, config);
	} catch (error) {
		return explain(log, error);
	}
}

async function execute(
	log: Log,
	command: Extract<Command, { readonly kind: "run" | "enroll" | "status" }>,
	config: Config,
): Promise<number> {
	if (command.kind === "status") return showStatus(config, command.format);
	const deps = { clock: systemClock, random: systemRandom, timers: systemTimers, log, processes: systemProcesses(systemRandom) };
	const loop = startWorker(deps, config, command.kind === "enroll" ? command.timeoutSeconds : undefined);
	for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => loop.signal(name));
	return loop.done;
}

function showStatus(config: Config, format: "text" | "json"): number {
	const stateDir = findStateDir(config.stateDir);
	const deps = { disk: systemDisk, clock: systemClock, processes: systemProcesses(systemRandom) };
	const holder = stateDir === undefined ? undefined : livingHolder(deps, stateDir);
	const store = stateDir === undefined ? undefined : identityStore(systemDisk, stateDir);
	const status = readStatus(stateDir, store, holder, {
		serverAddress: (config.serverAddr ?? config.url)?.http.replace(/\/graphql$/, ""),
		apiKey: config.apiKey && { workerId: config.apiKey.workerId, hint: config.apiKey.key.reveal().slice(-4) },
	});
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
		if (code !== "EPIPE" && code !== "EAGAIN") throw error;
	}
	return 0;
}
