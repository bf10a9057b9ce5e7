/** The system's ssh client, and what is run through it. */
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Options } from "./options.ts";

/** The command could not be brought to the host: no connection, no login, a host key that does not fit. */
export class SshError extends Error {}

/** A script on the host ended with another status than 0. */
export class ScriptError extends Error {
	readonly status: number;
	constructor(what: string, status: number, said: string) {
		super(`Cannot ${what}: ${said.trim() === "" ? `it ended with ${status}` : said.trim()}`);
		this.status = status;
	}
}

/** What is given to a script's standard input: a file, or a text after which the input stays open until the script ends. */
export type Input = { readonly file: string } | { readonly text: string };

/** One host, as one user. */
export class Remote {
	readonly #login: Pick<Options, "host" | "user" | "port" | "identity" | "sshConfig">;
	/** Whether scripts run as root by way of sudo. */
	readonly sudo: boolean;

	constructor(login: Pick<Options, "host" | "user" | "port" | "identity" | "sshConfig">, sudo = false) {
		this.#login = login;
		this.sudo = sudo;
	}

	/** The same host, its scripts run by `sudo -n`. */
	asRoot(): Remote {
		return new Remote(this.#login, true);
	}

	/**
	 * Runs a POSIX shell script there; its standard output. `what` says in an error what could not be done. Throws `ScriptError` when it fails and
	 * `SshError` when it did not get there.
	 */
	async run(what: string, script: string, input?: Input): Promise<string> {
		const child = spawn("ssh", [...this.#flags(input), remoteCommand(script, this.sudo)], {
			stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
			// Ctrl-C is for this program, which has to put things back.
			detached: true,
		});
		let said = "";
		const out: Buffer[] = [];
		child.stderr?.on("data", (part: Buffer) => (said += part.toString()));
		child.stdout?.on("data", (part: Buffer) => out.push(part));
		const closed = new Promise<number>((resolve, reject) => {
			child.once("error", (error) => reject(new SshError(`Cannot run ssh: ${error.message}`)));
			child.once("close", (code) => resolve(code ?? 255));
		});
		if (child.stdin !== null) {
			// A script that ends early has its own words for it.
			child.stdin.on("error", () => undefined);
			if (input !== undefined && "file" in input) await pipeline(createReadStream(input.file), child.stdin).catch(() => undefined);
			else if (input !== undefined) child.stdin.write(input.text);
		}
		const status = await closed;
		if (status === 255) throw new SshError(`Cannot ${what}: ssh to ${this.#login.host}: ${said.trim() || "it ended without a word"}`);
		if (status !== 0) throw new ScriptError(what, status, said);
		return Buffer.concat(out).toString();
	}

	#flags(input: Input | undefined): readonly string[] {
		const { host, user, port, identity, sshConfig } = this.#login;
		return [
			...(sshConfig === undefined ? [] : ["-F", sshConfig]),
			"-T",
			"-oBatchMode=yes",
			"-oConnectTimeout=20",
			"-oServerAliveInterval=15",
			...(port === undefined ? [] : ["-p", String(port)]),
			...(identity === undefined ? [] : ["-i", identity]),
			...(user === undefined ? [] : ["-l", user]),
			// 110 MB become 45: worth it on all but the fastest networks.
			...(input !== undefined && "file" in input ? ["-C"] : []),
			"--",
			host,
		];
	}
}

/**
 * A script as one command line that every login shell (sh, bash, zsh, fish, csh) hands on unharmed: all but the plainest characters are written as octal
 * numbers, which `printf %b` turns back.
 */
export function remoteCommand(script: string, sudo = false): string {
	const plain = /[A-Za-z0-9 /._=,:-]/;
	const encoded = [...Buffer.from(script)]
		.map((byte) =>
			byte < 128 && plain.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `\\0${byte.toString(8).padStart(3, "0")}`,
		)
		.join("");
	return `${sudo ? "sudo -n " : ""}sh -c 'eval "$(printf %b "$0")"' '${encoded}'`;
}
