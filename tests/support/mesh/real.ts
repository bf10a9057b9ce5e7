/** A real Headscale from a binary, in a directory and on a port of its own, with a user and an API key (INTEGRATIONS: works from 0.23 on). */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { until } from "../until.ts";

const run = promisify(execFile);

/** Binaries that the environment names. */
export const realBinaries: readonly string[] = (process.env["TEST_HEADSCALE_BINARIES"] ?? "").split(":").filter((path) => path !== "");

export interface RealHeadscale {
	readonly url: string;
	readonly apiKey: string;
	readonly user: string;
	stop(): Promise<void>;
}

/** Starts one and waits until it is well. */
export async function startHeadscale(binary: string): Promise<RealHeadscale> {
	const dir = await mkdtemp(join(tmpdir(), "muster-hs-"));
	const url = `http://127.0.0.1:${await freePort()}`;
	const config = join(dir, "config.yaml");
	await writeFile(join(dir, "derp.yaml"), derpMap);
	await writeFile(config, configFor(dir, url));
	const child = spawn(binary, ["-c", config, "serve"], { stdio: ["ignore", "pipe", "pipe"] });
	let said = "";
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
	const ended = new Promise((resolve) => child.once("exit", resolve));
	try {
		await until(`${binary} is up: ${said}`, async () => {
			if (child.exitCode !== null) throw new Error(`${binary} ended: ${said}`);
			return fetch(`${url}/health`).then(
				(reply) => reply.ok,
				() => false,
			);
		});
		await run(binary, ["-c", config, "users", "create", "muster"]);
		const { stdout } = await run(binary, ["-c", config, "apikeys", "create", "--expiration", "1d"]);
		const apiKey = stdout.trim().split("\n").at(-1) ?? "";
		return { url, apiKey, user: "muster", stop: () => end(child, ended, dir) };
	} catch (error) {
		await end(child, ended, dir);
		throw error;
	}
}

async function end(child: ChildProcess, ended: Promise<unknown>, dir: string): Promise<void> {
	if (child.exitCode === null) child.kill("SIGKILL");
	await ended;
	await rm(dir, { recursive: true, force: true });
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

/** An empty map is refused at start; nobody relays in these tests. */
const derpMap = `regions:
  900:
    regionid: 900
    regioncode: none
    regionname: none
    nodes:
      - {name: 900a, regionid: 900, hostname: 127.0.0.1, ipv4: 127.0.0.1}
`;

function configFor(dir: string, url: string): string {
	return `server_url: ${url}
listen_addr: ${url.slice("http://".length)}
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
derp: {urls: [], auto_update_enabled: false, paths: [${dir}/derp.yaml], server: {enabled: false}}
`;
}
