/**
 * Hosts to install a worker on: root directories of their own in namespaces of their own, over the network of this machine.
 * Needs root. What a host changes is in memory and gone with it, and so is every process in it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { until } from "./support.ts";

/**
 * `systemd`: this machine's own system (a Debian in CI), run by its real systemd. `plain`: the same with no service manager. `busybox`: busybox's shell and
 * tools, curl, and nothing else; its OpenRC is a fake.
 */
export type HostKind = "systemd" | "plain" | "busybox";

/** Whether hosts can be made here, and systemd can run in them. */
export const canMakeHosts: boolean = process.getuid?.() === 0 && ["/usr/bin/unshare", "/usr/bin/nsenter"].every(exists);
export const hasSystemd: boolean = canMakeHosts && exists("/lib/systemd/systemd");
export const hasBusybox: boolean = canMakeHosts && (exists("/usr/bin/busybox") || exists("/bin/busybox")) && exists("/usr/bin/curl");

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a command in a host came to. */
export interface Said {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** A host that runs; ended and forgotten when disposed of. */
export class HostRoot implements AsyncDisposable {
	readonly #place: string;
	readonly #child: ChildProcess;
	readonly #ended: Promise<void>;
	#init = 0;

	private constructor(place: string, child: ChildProcess) {
		this.#place = place;
		this.#child = child;
		this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
	}

	static async start(kind: HostKind): Promise<HostRoot> {
		const place = mkdtempSync(join(tmpdir(), "muster-host-"));
		const flags = ["--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--ipc", "--uts"];
		const args = [...flags, "sh", join(import.meta.dirname, "host-root.sh"), kind, place];
		const child = spawn("unshare", args, { stdio: ["ignore", "pipe", "pipe"] });
		let said = "";
		for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (said += text.toString()));
		const host = new HostRoot(place, child);
		await until(`a ${kind} host`, async () => {
			if (child.exitCode !== null) throw new Error(`The host ended with ${child.exitCode}: ${said}`);
			host.#init = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8"));
			if (host.#init === 0) return false;
			const isUp = kind === "systemd" ? "systemctl is-system-running | grep -qx running" : "test -e /host-is-ready";
			return (await host.run(isUp)).status === 0;
		});
		return host;
	}

	/** The host's file system as seen from here. */
	inside(file: string): string {
		return join(`/proc/${this.#init}/root`, file);
	}

	/** Puts a file there. */
	write(file: string, text: string): void {
		writeFileSync(this.inside(file), text);
	}

	/** Makes a home for an ordinary user, to be run as with `uid`. */
	home(name: string): string {
		mkdirSync(this.inside(`/home/${name}`), { recursive: true });
		return `/home/${name}`;
	}

	/** Runs lines as they are pasted into a shell of the host: root's, or that of an ordinary user with a home. */
	async run(lines: string, user?: { readonly uid: number; readonly home: string }): Promise<Said> {
		const enter = ["-t", `${this.#init}`, "-m", "-p", "-i", "-u", "-C", `--root=/proc/${this.#init}/root`, `--wd=/proc/${this.#init}/root`];
		const become = user === undefined ? [] : ["-S", `${user.uid}`, "-G", `${user.uid}`];
		const env = ["env", "-i", `PATH=${path}`, `HOME=${user?.home ?? "/root"}`];
		const child = spawn("nsenter", [...enter, ...become, ...env, "sh", "-c", lines], { stdio: ["ignore", "pipe", "pipe"] });
		let [stdout, stderr] = ["", ""];
		child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
		child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
		const status = await new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? -1)));
		return { status, stdout, stderr };
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.kill("SIGKILL");
		await this.#ended;
		rmSync(this.#place, { recursive: true, force: true });
	}
}

function exists(file: string): boolean {
	try {
		accessSync(file);
		return true;
	} catch {
		return false;
	}
}
