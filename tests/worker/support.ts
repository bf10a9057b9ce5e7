import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ensureWorker } from "../../worker/build.ts";

/** The checkout's root. */
export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

let binary: Promise<string> | undefined;

/** Path of the compiled worker; built when it is missing or older than its sources, and once for all tests of a process. */
export function workerBinary(): Promise<string> {
	binary ??= ensureWorker(root);
	return binary;
}

/** Room for one machine: a state directory and a machine id of its own; removed when disposed of. */
export class Machine implements Disposable {
	readonly root: string;
	readonly stateDir: string;
	readonly machineIdFile: string;

	constructor() {
		this.root = mkdtempSync(join(tmpdir(), "muster-worker-"));
		// Other users must be able to reach what a test hands them.
		chmodSync(this.root, 0o755);
		this.stateDir = join(this.root, "state");
		this.machineIdFile = join(this.root, "machine-id");
		writeFileSync(this.machineIdFile, `${randomBytes(16).toString("hex")}\n`);
	}

	/** The text of a file in the state directory; throws when there is none. */
	read(name: string): string {
		return readFileSync(join(this.stateDir, name), "utf8").trim();
	}

	/** The names in the state directory. */
	files(): readonly string[] {
		return readdirSync(this.stateDir).sort();
	}

	/** Who may do what with the state directory and each file in it, as octal digits. */
	modes(): Readonly<Record<string, string>> {
		const names = [".", ...this.files()];
		return Object.fromEntries(names.map((name) => [name, (statSync(join(this.stateDir, name)).mode & 0o777).toString(8)]));
	}

	/** Sets who may do what with the state directory. */
	chmod(mode: number): void {
		chmodSync(this.stateDir, mode);
	}

	/** Puts a file into the state directory. */
	write(name: string, text: string): void {
		mkdirSync(this.stateDir, { recursive: true, mode: 0o700 });
		writeFileSync(join(this.stateDir, name), text, { mode: 0o600 });
	}

	[Symbol.dispose](): void {
		rmSync(this.root, { recursive: true, force: true });
	}
}

/** A line of the worker's JSON log. */
export interface Line {
	readonly message: string;
	readonly [field: string]: unknown;
}

/** A compiled worker that runs; killed when disposed of. */
export class RunningWorker implements AsyncDisposable {
	readonly child: ChildProcess;
	readonly lines: Line[] = [];
	stdout = "";
	/** Resolves with the exit code, or the signal's name, once all output was read. */
	readonly exited: Promise<number | string>;
	readonly #listeners = new Set<() => void>();

	constructor(child: ChildProcess) {
		this.child = child;
		child.stdout?.on("data", (text: Buffer) => {
			this.stdout += text.toString();
		});
		if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (text) => this.#heard(text));
		this.exited = new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal ?? "gone")));
		void this.exited.then(() => this.#rouse());
	}

	/** The first line of this event; waits for it. Rejects when the worker ends without. */
	async line(event: string, matches: (line: Line) => boolean = () => true): Promise<Line> {
		for (;;) {
			const found = this.lines.find((line) => line.message === event && matches(line));
			if (found !== undefined) return found;
			if (this.child.exitCode !== null && !this.child.stderr?.readable) {
				throw new Error(`The worker ended with ${this.child.exitCode} and without "${event}": ${JSON.stringify(this.lines)}`);
			}
			await new Promise<void>((resolve) => {
				this.#listeners.add(resolve);
			});
		}
	}

	/** The last line of its log: why it ended. */
	get lastWords(): Line | undefined {
		// Whatever else was under way may still be told after its end.
		return this.lines.findLast(({ message }) => message === "worker.stopped") ?? this.lines.at(-1);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.child.kill("SIGKILL");
		await this.exited;
	}

	#heard(text: string): void {
		this.lines.push(parseLine(text));
		this.#rouse();
	}

	#rouse(): void {
		for (const listener of this.#listeners) listener();
		this.#listeners.clear();
	}
}

/** Starts the compiled worker for a machine with nothing in its environment but what is given. */
export async function runWorker(
	machine: Machine,
	args: readonly string[],
	env: Readonly<Record<string, string>> = {},
	options: { readonly uid?: number; readonly within?: readonly string[] } = {},
): Promise<RunningWorker> {
	const own = {
		MUSTER_STATE_DIR: machine.stateDir,
		MUSTER_MACHINE_ID_FILE: machine.machineIdFile,
		MUSTER_LOG_FORMAT: "json",
		MUSTER_METRICS_PORT: "off",
	};
	const built = await workerBinary();
	// Another user may not be able to enter this checkout.
	const program = options.uid === undefined ? built : join(machine.root, "muster-worker");
	if (program !== built) copyFileSync(built, program);
	const [command = "", ...rest] = [...(options.within ?? []), program, ...args];
	const child = spawn(command, rest, {
		cwd: machine.root,
		env: { HOME: machine.root, PATH: process.env.PATH ?? "", ...own, ...env },
		stdio: ["ignore", "pipe", "pipe"],
		...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
	});
	return new RunningWorker(child);
}

function parseLine(text: string): Line {
	try {
		return JSON.parse(text) as Line;
	} catch {
		return { message: text };
	}
}
