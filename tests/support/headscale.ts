/** A real Headscale with its own relay, in a directory and on ports of its own. What the versions' command lines differ in is settled here. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import * as v from "valibot";
import { until } from "./until.ts";

const run = promisify(execFile);
const user = "muster";

/** The binaries that TEST_HEADSCALE_BINARIES names, each with what to call it in a test's title. */
export const headscaleBinaries: readonly { readonly path: string; readonly name: string }[] = (process.env.TEST_HEADSCALE_BINARIES ?? "")
	.split(":")
	.filter((path) => path !== "")
	.map((path) => ({ path, name: `Headscale ${basename(dirname(path))}` }));

export interface HeadscaleOptions {
	readonly binary: string;
	/** Where clients and servers reach it: an address of this machine, or of the namespace it runs in. */
	readonly address: string;
	readonly port: number;
	readonly within?: readonly string[];
}

const nodesSchema = v.array(v.object({ id: v.number(), given_name: v.string(), ip_addresses: v.array(v.string()) }));

/** A Headscale that runs. */
export class TestHeadscale implements AsyncDisposable {
	readonly url: string;
	readonly user = user;
	apiKey = "";
	readonly #options: HeadscaleOptions;
	readonly #dir: string;
	#child: ChildProcess | undefined;
	#ended: Promise<unknown> = Promise.resolve();
	#said = "";

	private constructor(options: HeadscaleOptions, dir: string) {
		this.#options = options;
		this.#dir = dir;
		this.url = `http://${options.address}:${options.port}`;
	}

	static async start(options: HeadscaleOptions): Promise<TestHeadscale> {
		const dir = await mkdtemp(join(tmpdir(), "muster-hs-"));
		await writeFile(join(dir, "config.yaml"), configFor(dir, options));
		const headscale = new TestHeadscale(options, dir);
		try {
			await headscale.#begin();
			return headscale;
		} catch (error) {
			await headscale[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** Starts one on this machine, at a free port, and waits until it answers there. */
	static async startHere(binary: string): Promise<TestHeadscale> {
		const headscale = await TestHeadscale.start({ binary, address: "127.0.0.1", port: await freePort() });
		await headscale.#answers();
		return headscale;
	}

	/** A new database in the place of the old one: no key and no node, ids begin anew, and so does the API key. Only of one that was started here. */
	async renew(): Promise<void> {
		await this.halt();
		for (const file of ["db.sqlite", "db.sqlite-wal", "db.sqlite-shm"]) await rm(join(this.#dir, file), { force: true });
		await this.#begin();
		await this.#answers();
	}

	async #begin(): Promise<void> {
		await this.serve();
		await this.#cli("users", "create", user);
		this.apiKey = (await this.#cli("apikeys", "create", "--expiration", "1d")).trim().split("\n").at(-1) ?? "";
	}

	async #answers(): Promise<void> {
		await until(`${this.url} answers`, () =>
			fetch(`${this.url}/health`).then(
				(reply) => reply.ok,
				() => false,
			),
		);
	}

	/** Starts it, at first or again after `halt`, and waits until it is well. */
	async serve(): Promise<void> {
		const [file, ...args] = [...(this.#options.within ?? []), this.#options.binary, "-c", join(this.#dir, "config.yaml"), "serve"];
		const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
		this.#child = child;
		this.#ended = new Promise((resolve) => child.once("close", resolve));
		for (const stream of [child.stdout, child.stderr]) {
			stream.setEncoding("utf8").on("data", (text: string) => {
				this.#said = (this.#said + text).slice(-10_000);
			});
		}
		await until(`${this.#options.binary} takes commands`, () => {
			if (child.exitCode !== null) throw new Error(`${this.#options.binary} ended:\n${this.#said}`);
			return this.#cli("users", "list").then(
				() => true,
				() => undefined,
			);
		});
	}

	/** Takes the power from it. */
	async halt(): Promise<void> {
		this.#child?.kill("SIGKILL");
		await this.#ended;
	}

	/** A key for one machine. Users are named by id from 0.26 on. */
	async mint(): Promise<string> {
		const flags = ["--expiration", "1h", "--tags", "tag:muster", "-o", "json"];
		const text = await this.#cli("preauthkeys", "create", "-u", "1", ...flags).catch(() =>
			this.#cli("preauthkeys", "create", "-u", user, ...flags),
		);
		return v.parse(v.object({ key: v.string() }), JSON.parse(text)).key;
	}

	async nodes(): Promise<v.InferOutput<typeof nodesSchema>> {
		return v.parse(nodesSchema, JSON.parse(await this.#cli("nodes", "list", "-o", "json")) ?? []);
	}

	/** Deletes the node with this address. */
	async deleteNode(address: string): Promise<void> {
		const node = (await this.nodes()).find(({ ip_addresses }) => ip_addresses.includes(address));
		if (node === undefined) throw new Error(`No node has the address ${address}`);
		await this.#cli("nodes", "delete", "-i", String(node.id), "--force");
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.halt();
		await rm(this.#dir, { recursive: true, force: true });
	}

	async #cli(...args: readonly string[]): Promise<string> {
		return (await run(this.#options.binary, ["-c", join(this.#dir, "config.yaml"), ...args])).stdout;
	}
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
	const server = createServer();
	const port = await new Promise<number>((resolve) => {
		server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
	});
	await new Promise((resolve) => server.close(resolve));
	return port;
}

/** The command line goes by the socket, so it needs no network. The other ports are free ones: nobody asks there. */
function configFor(dir: string, { address, port }: HeadscaleOptions): string {
	return `server_url: http://${address}:${port}
listen_addr: ${address}:${port}
metrics_listen_addr: 127.0.0.1:0
grpc_listen_addr: 127.0.0.1:0
noise: {private_key_path: ${dir}/noise.key}
prefixes: {v4: 100.64.0.0/10, allocation: sequential}
database: {type: sqlite, sqlite: {path: ${dir}/db.sqlite, write_ahead_log: true}}
unix_socket: ${dir}/hs.sock
unix_socket_permission: "0770"
disable_check_updates: true
logtail: {enabled: false}
dns: {magic_dns: false, override_local_dns: false, nameservers: {global: []}}
derp:
  urls: []
  auto_update_enabled: false
  server: {enabled: true, region_id: 999, region_code: hs, region_name: hs, stun_listen_addr: "${address}:${port}",
    private_key_path: ${dir}/derp.key, automatically_add_embedded_derp_region: true, ipv4: ${address}, verify_clients: true}
`;
}
