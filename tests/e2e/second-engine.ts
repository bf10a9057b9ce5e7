/**
 * A Docker Engine beside the machine's own, with an id, images and containers of its own. It lives in namespaces of its own: an engine without a bridge
 * removes docker0 where it finds one, and with it the network of everybody's containers.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";

const dockerd = spawnSync("sh", ["-c", "command -v dockerd"], { encoding: "utf8" }).stdout.trim();
const apart = ["--net", "--mount"];
/** Whether one can be started here. */
export const hasDockerd = dockerd !== "" && process.getuid?.() === 0 && spawnSync("unshare", [...apart, "true"]).status === 0;

export class SecondEngine implements AsyncDisposable {
	readonly socket: string;
	readonly #place: string;
	readonly #child: ChildProcess;
	readonly #ended: Promise<unknown>;
	#log = "";

	private constructor(place: string, more: readonly string[]) {
		this.#place = place;
		this.socket = join(place, "docker.sock");
		const own = ["--data-root", join(place, "data"), "--exec-root", join(place, "exec"), "--pidfile", join(place, "pid")];
		const options = [...own, "-H", `unix://${this.socket}`, "--bridge", "none", "--iptables=false", "--ip-forward=false", ...more];
		// unshare becomes dockerd: its pid is the engine's.
		this.#child = spawn("unshare", [...apart, dockerd, ...options], { stdio: ["ignore", "ignore", "pipe"] });
		this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
			this.#log = (this.#log + text).slice(-4_000);
		});
		this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
	}

	static async start(): Promise<SecondEngine> {
		const place = mkdtempSync(join(tmpdir(), "muster-engine-two-"));
		// Until version 23 the id is that of a key in /etc, which all engines of a machine share; later ones keep it with their data.
		const version = Number(/(\d+)\./.exec(spawnSync(dockerd, ["--version"], { encoding: "utf8" }).stdout)?.[1] ?? 0);
		const config = join(place, "daemon.json");
		writeFileSync(config, JSON.stringify(version < 23 ? { "deprecated-key-path": join(place, "key.json") } : {}));
		const engine = new SecondEngine(place, ["--config-file", config]);
		try {
			await until("the second engine answers", () => engine.id() !== "");
			return engine;
		} catch (error) {
			await engine[Symbol.asyncDispose]();
			throw new Error(engine.#log, { cause: error });
		}
	}

	/** Its id; empty while it does not answer. */
	id(): string {
		return spawnSync("docker", ["-H", `unix://${this.socket}`, "info", "--format", "{{.ID}}"], { encoding: "utf8" }).stdout.trim();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#child.kill("SIGTERM");
		await this.#ended;
		rmSync(this.#place, { recursive: true, force: true });
	}
}
