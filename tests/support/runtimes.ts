/** Starts programs of this repository as child processes on either runtime, from the binaries in node_modules. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

export const runtimeNames = ["bun", "deno"] as const;
export type RuntimeName = (typeof runtimeNames)[number];
export const root = join(import.meta.dirname, "..", "..");

/** A started program that said where it listens. */
export interface Program {
	readonly pid: number;
	/** The first line it printed, parsed. */
	readonly hello: Readonly<Record<string, unknown>>;
	/** What it has written to stderr so far. */
	stderr(): string;
	kill(signal: NodeJS.Signals): void;
	/** Resolves when it ended, with its exit code (null: by a signal). */
	readonly ended: Promise<number | null>;
	/** Kills it if it still runs. Every test that starts one calls this. */
	stop(): Promise<void>;
	/** Resident memory of the process, in bytes (Linux). */
	rssBytes(): Promise<number>;
}

/** The command line that runs a TypeScript file of this repository. */
export function commandFor(runtime: RuntimeName, file: string, args: readonly string[] = []): readonly [string, ...string[]] {
	const path = join(root, file);
	const exe = process.platform === "win32" ? ".exe" : "";
	if (runtime === "bun") return [join(root, "node_modules", "bun", "bin", "bun.exe"), "--no-env-file", path, ...args];
	return [join(root, "node_modules", "deno", `deno${exe}`), "run", "-A", "--no-prompt", "--config", join(root, "deno.json"), path, ...args];
}

/** Starts a program and waits for its first line on stdout, which must be JSON. Throws with its stderr when it ends before. */
export async function startProgram(runtime: RuntimeName, file: string, env: Readonly<Record<string, string>> = {}): Promise<Program> {
	const [command, ...args] = commandFor(runtime, file);
	// NODE_ENV=test (set by bun test) makes Yoga ping 40 times as often; the program is to run as it does in production.
	const { NODE_ENV: _testing, ...inherited } = process.env;
	const child = spawn(command, args, { env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] });
	let errors = "";
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		errors += text;
	});
	const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
	const hello = await firstLine(child, ended).catch((error: unknown) => {
		child.kill("SIGKILL");
		throw new Error(`${command} ${args.join(" ")}: ${String(error)}\n${errors}`);
	});
	const pid = child.pid ?? 0;
	return {
		pid,
		hello,
		ended,
		stderr: () => errors,
		kill: (signal) => void child.kill(signal),
		async stop() {
			child.kill("SIGKILL");
			await ended;
		},
		async rssBytes() {
			const status = await Bun.file(`/proc/${pid}/status`).text();
			return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
		},
	};
}

async function firstLine(child: ChildProcess, ended: Promise<number | null>): Promise<Record<string, unknown>> {
	let text = "";
	const line = new Promise<string>((resolve) => {
		child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
			text += chunk;
			const end = text.indexOf("\n");
			if (end >= 0) resolve(text.slice(0, end));
		});
	});
	const first = await Promise.race([
		line,
		ended.then((code) => Promise.reject(new Error(`it ended with ${code} before it said anything`))),
	]);
	return JSON.parse(first);
}
