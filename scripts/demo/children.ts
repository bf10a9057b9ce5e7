/** The processes of the demo: the server on this runtime, and compiled workers. Every one is stopped, whatever happens. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { until } from "./stage.ts";

/** How long a process may take to stop by itself. */
const stopMs = 20_000;

/** A started program and what it has said. */
export class Child {
	/** Lines of stdout and stderr, in order of arrival. */
	readonly lines: string[] = [];
	readonly #process: ChildProcess;
	readonly #ended: Promise<void>;
	#rest = "";
	#fault: string | undefined;
	#closed = false;

	constructor(command: readonly string[], env: Readonly<Record<string, string>>, cwd: string) {
		const [file = "", ...args] = command;
		this.#process = spawn(file, args, {
			cwd,
			env: { PATH: process.env.PATH ?? "", HOME: cwd, ...env },
			stdio: ["ignore", "pipe", "pipe"],
		});
		for (const stream of [this.#process.stdout, this.#process.stderr])
			stream?.setEncoding("utf8").on("data", (text: string) => this.#hear(text));
		this.#ended = new Promise((resolve) => {
			this.#process.once("error", (error) => {
				this.#fault = error.message;
				this.#closed = true;
				resolve();
			});
			this.#process.once("close", () => {
				this.#closed = true;
				resolve();
			});
		});
	}

	/** The first line with all of these words; waits for it. Throws with the program's last words when it ends without. */
	async line(signal: AbortSignal, ...words: readonly string[]): Promise<string> {
		return until(`"${words.join(" ")}" from ${this.#process.spawnfile}${this.#lastWords()}`, signal, () => {
			const found = this.said(...words);
			if (found === undefined && this.#closed)
				throw new Error(`${this.#process.spawnfile} ended before it said "${words.join(" ")}"${this.#lastWords()}`);
			return found;
		});
	}

	/** The same without waiting. */
	said(...words: readonly string[]): string | undefined {
		return this.lines.find((line) => words.every((word) => line.includes(word)));
	}

	/** Its exit code; waits for the end. */
	async exitCode(signal: AbortSignal): Promise<number> {
		await until(`the end of ${this.#process.spawnfile}`, signal, () => (this.#closed ? true : undefined));
		return this.#process.exitCode ?? -1;
	}

	/** Takes the power from it. */
	async pullThePlug(): Promise<void> {
		this.#process.kill("SIGKILL");
		await this.#ended;
	}

	/** Asks it to stop and waits; kills it when it does not. Safe to call at any time. */
	async stop(): Promise<void> {
		if (this.#closed) return;
		this.#process.kill("SIGTERM");
		const late = setTimeout(() => this.#process.kill("SIGKILL"), stopMs);
		await this.#ended;
		clearTimeout(late);
	}

	#hear(text: string): void {
		const lines = (this.#rest + text).split("\n");
		this.#rest = lines.pop() ?? "";
		this.lines.push(...lines);
	}

	#lastWords(): string {
		const last = [this.#fault ?? this.lines.slice(-5).join("\n")].filter((text) => text !== "");
		return last.length === 0 ? "" : `:\n${last.join("\n")}`;
	}
}

/** A machine of the demo: a state directory and a machine id of its own. */
export interface Machine {
	readonly name: string;
	readonly dir: string;
}

/** Makes room for one. */
export function makeMachine(home: string, name: string): Machine {
	const dir = join(home, name);
	mkdirSync(dir, { recursive: true, mode: 0o755 });
	writeFileSync(join(dir, "machine-id"), `${randomBytes(16).toString("hex")}\n`);
	return { name, dir };
}

/** Starts the compiled worker there, with nothing in its environment but what is given. */
export function startWorker(binary: string, machine: Machine, settings: Readonly<Record<string, string>>): Child {
	const own = {
		HOME: machine.dir,
		MUSTER_STATE_DIR: join(machine.dir, "state"),
		MUSTER_MACHINE_ID_FILE: join(machine.dir, "machine-id"),
		// Several workers on one machine cannot all have the same port.
		MUSTER_METRICS_PORT: "off",
	};
	return new Child([binary], { ...own, ...settings }, machine.dir);
}
