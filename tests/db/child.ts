/** Runs the programs in this folder as processes of their own, on the runtime that runs the test. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { commandFor, type RuntimeName } from "../support/runtimes.ts";
import { soon } from "../support/until.ts";

/** The runtime of this process. */
export const runtimeName: RuntimeName = "Deno" in globalThis ? "deno" : "bun";

/** A running program that says JSON lines. */
export interface Child {
	readonly pid: number;
	/** Every line it said so far, parsed. */
	readonly lines: readonly Readonly<Record<string, unknown>>[];
	stderr(): string;
	/** Closes its standard input, which tells it to finish. */
	finish(): void;
	kill(signal: NodeJS.Signals): void;
	/** Its exit code (null: by a signal), once all its output was read. */
	readonly ended: Promise<number | null>;
	/** Kills it if it still runs. Every test that starts one calls this. */
	stop(): Promise<void>;
}

/** Starts `tests/db/programs/NAME.ts`; `prefix` is a command that runs a command. */
export function startChild(name: string, env: Readonly<Record<string, string>>, prefix: readonly string[] = []): Child {
	const [command = "", ...args] = [...prefix, ...commandFor(runtimeName, `tests/db/programs/${name}.ts`)];
	const child: ChildProcess = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
	const lines: Record<string, unknown>[] = [];
	let rest = "";
	let errors = "";
	child.stdout?.setEncoding("utf8").on("data", (text: string) => {
		const parts = (rest + text).split("\n");
		rest = parts.pop() ?? "";
		for (const line of parts) lines.push(JSON.parse(line));
	});
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		errors += text;
	});
	const ended = new Promise<number | null>((resolve) => {
		child.once("close", (code) => resolve(code));
	});
	return {
		pid: child.pid ?? 0,
		lines,
		stderr: () => errors,
		finish: () => void child.stdin?.end(),
		kill: (signal) => void child.kill(signal),
		ended,
		async stop() {
			child.kill("SIGKILL");
			await soon(`the end of ${name}`, ended);
		},
	};
}
