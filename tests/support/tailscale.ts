/** The real Tailscale client, for what a test needs on a mesh besides the worker. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "./until.ts";

const run = promisify(execFile);
const dir = process.env.TEST_TAILSCALE_DIR ?? "";

/** The programs that TEST_TAILSCALE_DIR names. */
export const tailscalePrograms = { tailscale: join(dir, "tailscale"), tailscaled: join(dir, "tailscaled") };

/** Why there is no client here; undefined when there is. */
export const tailscaleMissing: string | undefined =
	dir === ""
		? "TEST_TAILSCALE_DIR names no folder with tailscale and tailscaled"
		: Object.values(tailscalePrograms)
				.find((path) => !existsSync(path))
				?.concat(" is missing");

/** Of a Headscale without TLS the relay is reached by plain HTTP, which a client does only when told. */
export const plainRelay = { TS_DEBUG_USE_DERP_HTTP: "1" };

export interface TailscaleOptions {
	/** Made by the caller, who also removes it. */
	readonly dir: string;
	readonly within?: readonly string[];
	/** Others than those that TEST_TAILSCALE_DIR names. */
	readonly programs?: { readonly tailscale: string; readonly tailscaled: string };
	/** A device instead of userspace; needs root. */
	readonly tun?: string;
}

/** A client that runs. */
export class TestTailscale implements AsyncDisposable {
	readonly socket: string;
	readonly #within: readonly string[];
	readonly #programs: NonNullable<TailscaleOptions["programs"]>;
	readonly #dir: string;
	readonly #child: ChildProcess;
	readonly #ended: Promise<unknown>;
	#said = "";

	private constructor({ dir: home, within = [], tun = "userspace-networking", programs = tailscalePrograms }: TailscaleOptions) {
		this.#programs = programs;
		this.#dir = home;
		this.#within = within;
		this.socket = join(home, "ts.sock");
		const args = [`--tun=${tun}`, `--statedir=${home}`, `--socket=${this.socket}`, "--port=0", "--no-logs-no-support"];
		const [file = "", ...rest] = [...within, programs.tailscaled, ...args];
		const env = { PATH: process.env.PATH ?? "", HOME: home, TS_LOGS_DIR: home, ...plainRelay };
		this.#child = spawn(file, rest, { env, stdio: ["ignore", "ignore", "pipe"] });
		this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
			this.#said = (this.#said + text).slice(-10_000);
		});
		this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
	}

	static async start(options: TailscaleOptions): Promise<TestTailscale> {
		const client = new TestTailscale(options);
		await until(`tailscaled answers at ${client.socket}`, () =>
			client.cli("status", "--json", "--peers=false").then(
				() => true,
				() => undefined,
			),
		);
		return client;
	}

	/** Joins with a key; returns its IPv4 on the mesh. */
	async join(controlUrl: string, key: string, name: string): Promise<string> {
		const file = join(this.#dir, "auth-key");
		writeFileSync(file, key, { mode: 0o600 });
		const flags = ["--accept-dns=false", "--accept-routes=false", "--timeout=60s"];
		await this.cli("up", `--auth-key=file:${file}`, `--login-server=${controlUrl}`, `--hostname=${name}`, ...flags).catch(
			(error: unknown) => {
				throw new Error(`${String(error)}\n${this.#said}`);
			},
		);
		return (await this.cli("ip", "-4")).trim();
	}

	/** Runs `tailscale`; gives its output. */
	async cli(...args: readonly string[]): Promise<string> {
		const [file = "", ...rest] = [...this.#within, this.#programs.tailscale, `--socket=${this.socket}`, ...args];
		return (await run(file, rest)).stdout;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.kill("SIGKILL");
		await this.#ended;
	}
}
