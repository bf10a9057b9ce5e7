/** What the mesh's end-to-end tests share: a Headscale, a server on its mesh and hosts for workers, each side in a network namespace of its own. */
import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import * as v from "valibot";
import { ask } from "../../scripts/demo/live.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { TestHeadscale } from "../support/headscale.ts";
import { type Muster, startMuster } from "../support/muster.ts";
import { namespacesMissing, Network } from "../support/netns.ts";
import { plainRelay, tailscaleMissing, tailscalePrograms, TestTailscale } from "../support/tailscale.ts";
import { type Machine, type RunningWorker, runWorker } from "../worker/support.ts";

/** Why these tests cannot run here; undefined when they can. */
export const meshMissing: string | undefined = namespacesMissing ?? tailscaleMissing;

/** The LAN listener, for enrolling, and the API listener, which the worker reaches on the mesh alone. */
export const lanPort = 7480;
const apiPort = 7481;
const controlPort = 8080;
const sharedSecret = "the mesh tests' shared secret, 40 chars.";

/** All of it, running. */
export class MeshStage implements AsyncDisposable {
	readonly net: Network;
	readonly headscale: TestHeadscale;
	readonly server: Muster;
	/** The server's address on the mesh. */
	readonly meshAddress: string;
	readonly api: { readonly url: string; readonly token: string };
	readonly #stack: AsyncDisposableStack;

	private constructor(stack: AsyncDisposableStack, parts: Pick<MeshStage, "net" | "headscale" | "server" | "meshAddress">) {
		({ net: this.net, headscale: this.headscale, server: this.server, meshAddress: this.meshAddress } = parts);
		this.#stack = stack;
		this.api = { url: `http://${this.net.back}:${apiPort}`, token: this.server.adminToken };
	}

	static async start(binary: string): Promise<MeshStage> {
		await using stack = new AsyncDisposableStack();
		const net = stack.use(await Network.open());
		const within = net.onServer;
		const headscale = stack.use(await TestHeadscale.start({ binary, address: net.lan, port: controlPort, within }));
		const dir = mkdtempSync(join(tmpdir(), "muster-ts-"));
		stack.defer(() => rm(dir, { recursive: true, force: true }));
		const client = stack.use(await TestTailscale.start({ dir, within }));
		const meshAddress = await client.join(headscale.url, await headscale.mint(), "muster-server");
		const server = await startMuster({
			within,
			env: {
				// In userspace its Tailscale hands what comes over the mesh to the loopback; the worker's side of the LAN is shut from the start.
				MUSTER_LISTEN: `0.0.0.0:${lanPort}`,
				MUSTER_API_LISTEN: `0.0.0.0:${apiPort}`,
				MUSTER_PUBLIC_URL: `http://${net.lan}:${lanPort}`,
				MUSTER_SERVER_ADDR: `${meshAddress}:${apiPort}`,
				MUSTER_SHARED_SECRET: sharedSecret,
				MUSTER_HEARTBEAT_SECONDS: "1",
				MUSTER_STALE_SECONDS: "30",
				MUSTER_LOG_LEVEL: "debug",
				MUSTER_MESH: "headscale",
				MUSTER_HEADSCALE_URL: headscale.url,
				MUSTER_HEADSCALE_API_KEY: headscale.apiKey,
				MUSTER_HEADSCALE_USER: headscale.user,
				MUSTER_HEADSCALE_TAGS: "tag:muster",
			},
		});
		stack.defer(async () => {
			await server.stop();
			await removeDataDir(server.dataDir);
			await rm(dirname(server.dataDir), { recursive: true, force: true });
		});
		await net.close(apiPort);
		return new MeshStage(stack.move(), { net, headscale, server, meshAddress });
	}

	/** Makes a host; returns its id and its token. */
	async host(name: string): Promise<{ readonly id: string; readonly token: string }> {
		const query = "mutation ($name: String!) { made: createHost(input: { name: $name }) { host { id } secret } }";
		const { made } = await ask(this.api, madeShape, query, { name });
		return { id: made.host.id, token: made.secret };
	}

	/** A new token for a host. */
	async regenerate(id: string): Promise<string> {
		const query = "mutation ($id: ID!) { made: regenerateHostToken(id: $id) { host { id } secret } }";
		return (await ask(this.api, madeShape, query, { id })).made.secret;
	}

	/** What a worker needs to enroll as this host. */
	settings(name: string, token: string): Readonly<Record<string, string>> {
		return {
			MUSTER_URL: `http://${this.net.lan}:${lanPort}`,
			MUSTER_ENROLL_TOKEN: token,
			MUSTER_SHARED_SECRET: sharedSecret,
			MUSTER_NODE_NAME: name,
		};
	}

	/** Starts the compiled worker on its side of the network. */
	worker(machine: Machine, env: Readonly<Record<string, string>> = {}, args: readonly string[] = []): Promise<RunningWorker> {
		const { tailscale, tailscaled } = tailscalePrograms;
		const parts = { MUSTER_TAILSCALE: tailscale, MUSTER_TAILSCALED: tailscaled, MUSTER_LOG_LEVEL: "debug", ...plainRelay };
		return runWorker(machine, args, { ...parts, ...env }, { within: this.net.onWorker });
	}

	/** What these commands print beside a worker. */
	async told<const Name extends string>(machine: Machine, ...commands: readonly Name[]): Promise<Record<Name, string>> {
		const entries: [string, string][] = [];
		for (const command of commands) {
			await using worker = await this.worker(machine, {}, [command]);
			await worker.exited;
			entries.push([command, worker.stdout]);
		}
		return Object.fromEntries(entries) as Record<Name, string>;
	}

	/** The page of the worker that serves its metrics on 9100. */
	async metrics(): Promise<string> {
		const [file, ...args] = [...this.net.onWorker, "curl", "-fsS", "http://127.0.0.1:9100/metrics"];
		return (await promisify(execFile)(file, args)).stdout;
	}

	/** The host as the API shows it. */
	async view(id: string): Promise<v.InferOutput<typeof hostShape>["host"]> {
		return (await ask(this.api, hostShape, "query ($id: ID!) { host(id: $id) { state meshAddress lastHeartbeatAt } }", { id })).host;
	}

	/** How many enroll attempts the server has seen, of whomever. */
	async attempts(): Promise<number> {
		const shape = v.object({ enrollmentAttempts: v.object({ totalCount: v.number() }) });
		return (await ask(this.api, shape, "{ enrollmentAttempts { totalCount } }")).enrollmentAttempts.totalCount;
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.#stack.disposeAsync();
	}
}

const madeShape = v.object({ made: v.object({ host: v.object({ id: v.string() }), secret: v.string() }) });
const hostShape = v.object({
	host: v.object({ state: v.string(), meshAddress: v.nullable(v.string()), lastHeartbeatAt: v.nullable(v.string()) }),
});
