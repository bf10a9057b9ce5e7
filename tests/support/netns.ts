/** Two network namespaces and this one, in a row: test — server — worker. Needs root; everything goes with it when disposed of. */
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Whether this process may make namespaces and firewall rules. */
export const namespacesMissing: string | undefined =
	process.getuid?.() !== 0 ? "not root" : ["ip", "iptables"].find((name) => !isThere(name))?.concat(" is not installed");

/** A network of its own for one test file. */
export class Network implements AsyncDisposable {
	/** Begins a command line that runs there. */
	readonly onServer: readonly string[];
	readonly onWorker: readonly string[];
	/** The server's address on the LAN, which the worker reaches. */
	readonly lan: string;
	/** The server's address as this process reaches it; the worker has no way there. */
	readonly back: string;
	readonly #server: string;
	readonly #worker: string;
	readonly #links: { readonly test: string; readonly back: string; readonly lan: string; readonly worker: string };
	readonly #closed = new Set<number>();

	private constructor(tag: string, third: number, fourth: number) {
		[this.#server, this.#worker] = [`muster-${tag}-s`, `muster-${tag}-w`];
		this.#links = { test: `mt${tag}`, back: `mb${tag}`, lan: `ml${tag}`, worker: `mw${tag}` };
		this.onServer = ["ip", "netns", "exec", this.#server];
		this.onWorker = ["ip", "netns", "exec", this.#worker];
		this.back = `10.${third}.${fourth}.2`;
		this.lan = `10.${third}.${fourth}.130`;
	}

	static async open(): Promise<Network> {
		const [a = 0, b = 0, c = 0, d = 0] = randomBytes(4);
		const network = new Network(Buffer.from([a, b, c, d]).toString("hex"), 200 + (a % 50), b);
		const prefix = network.lan.replace(/\d+$/, "");
		const { test, back, lan, worker } = network.#links;
		const [server, host] = [network.#server, network.#worker];
		const lines = [
			`netns add ${server}`,
			`netns add ${host}`,
			`link add ${test} type veth peer name ${back} netns ${server}`,
			`-n ${server} link add ${lan} type veth peer name ${worker} netns ${host}`,
			`addr add ${prefix}1/30 dev ${test}`,
			`link set ${test} up`,
			`-n ${server} addr add ${prefix}2/30 dev ${back}`,
			`-n ${server} addr add ${prefix}130/30 dev ${lan}`,
			`-n ${host} addr add ${prefix}129/30 dev ${worker}`,
			`-n ${server} link set lo up`,
			`-n ${server} link set ${back} up`,
			`-n ${server} link set ${lan} up`,
			`-n ${host} link set lo up`,
			`-n ${host} link set ${worker} up`,
			`-n ${host} route add default via ${prefix}130`,
		];
		try {
			for (const line of lines) await run("ip", line.split(" "));
		} catch (error) {
			await network[Symbol.asyncDispose]();
			throw error;
		}
		return network;
	}

	/** The worker reaches this port of the server no more; packets vanish, as behind a firewall. */
	async close(port: number): Promise<void> {
		if (this.#closed.has(port)) return;
		await this.#rule("-A", port);
		this.#closed.add(port);
	}

	async reopen(port: number): Promise<void> {
		if (this.#closed.delete(port)) await this.#rule("-D", port);
	}

	/** Pulls the worker's cable, or puts it back. */
	async cable(state: "up" | "down"): Promise<void> {
		await run("ip", ["-n", this.#worker, "link", "set", this.#links.worker, state]);
		const way = ["-n", this.#worker, "route", "replace", "default", "via", this.lan];
		if (state === "up") await run("ip", way);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		// A link goes with its namespace, once no process is left there.
		for (const name of [this.#worker, this.#server]) await run("ip", ["netns", "del", name]).catch(() => {});
		await run("ip", ["link", "del", this.#links.test]).catch(() => {});
	}

	async #rule(verb: "-A" | "-D", port: number): Promise<void> {
		const [file = "", ...args] = this.onServer;
		await run(file, [...args, "iptables", "-w", verb, "INPUT", "-i", this.#links.lan, "-p", "tcp", "--dport", String(port), "-j", "DROP"]);
	}
}

function isThere(program: string): boolean {
	try {
		execFileSync(program, ["-V"], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
}
