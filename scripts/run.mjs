/** Every npm script goes through here: installs what is missing, then runs the task on the pinned runtime. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureInstalled, runtimeBinary } from "./install.mjs";
import { tasks } from "./tasks.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [name, ...args] = process.argv.slice(2);
const task = tasks[name];
if (task === undefined) {
	process.stderr.write(`Unknown task "${name}"; the tasks are ${Object.keys(tasks).join(", ")}\n`);
	process.exit(64);
}
ensureInstalled(root);
let status = 0;
for (const step of task({ root, args, runtime })) {
	status = await runStep(step);
	if (status !== 0) break;
}
process.exit(status);

/** The command line that runs a TypeScript file on the named runtime (RUNTIME, else Bun). */
function runtime(file, fileArgs, chosen = process.env.RUNTIME ?? "bun") {
	const path = join(root, file);
	if (chosen === "bun") return [runtimeBinary(root, "bun"), "--no-env-file", path, ...fileArgs];
	if (chosen === "deno")
		return [runtimeBinary(root, "deno"), "run", "-A", "--no-prompt", "--config", join(root, "deno.json"), path, ...fileArgs];
	process.stderr.write(`RUNTIME=${chosen} is not known: use bun or deno\n`);
	process.exit(64);
}

/** Runs one command with our stdio; passes SIGINT and SIGTERM on and waits, so that nothing is left behind. */
function runStep({ command, cwd = root, env = {} }) {
	const [file, ...rest] = command;
	return new Promise((resolve) => {
		const child = spawn(file, rest, { cwd, stdio: "inherit", env: { ...process.env, ...env } });
		const forward = (signal) => child.kill(signal);
		// A terminal sends Ctrl-C to the whole group: the child has it already, we only have to outlive it.
		const ignore = () => {};
		process.on("SIGINT", process.stdin.isTTY ? ignore : forward);
		process.on("SIGTERM", forward);
		// npm passes a SIGTERM on to its shell, which dies of it and tells nobody: an orphan ends as if it had been told.
		const parent = process.ppid;
		if (process.env.npm_lifecycle_event !== undefined) {
			setInterval(() => process.ppid === parent || forward("SIGTERM"), 250).unref();
		}
		child.on("error", (error) => {
			process.stderr.write(`Cannot run ${file}: ${error.message}\n`);
			resolve(70);
		});
		child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 143)));
	});
}
