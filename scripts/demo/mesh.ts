/** The mesh's story: one machine enrolls over the LAN, and needs the LAN no more. Real Headscale, real Tailscale, on this machine's loopback. */
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import * as v from "valibot";
import { TestHeadscale } from "../../tests/support/headscale.ts";
import { commandFor } from "../../tests/support/runtimes.ts";
import { plainRelay, TestTailscale } from "../../tests/support/tailscale.ts";
import { Child, type Machine, makeMachine, startWorker } from "./children.ts";
import { type Api, ask } from "./live.ts";
import type { MeshParts } from "./mesh-parts.ts";
import { conclude, evidence, expect, step, until } from "./stage.ts";
import { type Props, workerIsBuilt } from "./story.ts";

interface Scene extends Props {
	readonly parts: MeshParts;
	readonly api: Api;
	readonly headscale: TestHeadscale;
	readonly lan: Lan;
	readonly binary: string;
	readonly machine: Machine;
}

const root = dirname(dirname(import.meta.dirname));
const sharedSecret = "the demo's shared secret, for host tokens";
const refusedForGood = 77;

/** Tells all of it; throws a sentence when a step's evidence does not come. */
export async function tellMesh(props: Props, parts: MeshParts): Promise<void> {
	const headscale = await meshStarts(props, parts);
	const { api, lan } = await serverJoins(props, parts, headscale);
	const scene = {
		...props,
		parts,
		headscale,
		api,
		lan,
		binary: await workerIsBuilt(props.signal),
		machine: makeMachine(props.home, "crane-1"),
	};
	const { id, worker, address } = await hostJoins(scene);
	await lanIsClosed(scene, id);
	await restartWithoutAnything(scene, id, worker);
	await nodeIsDeleted(scene, id, address);
}

async function meshStarts({ onEnd }: Props, { headscale: binary }: MeshParts): Promise<TestHeadscale> {
	step("Headscale starts: the mesh's control server, with a relay of its own");
	const headscale = await TestHeadscale.start({ binary, address: "127.0.0.1", port: await freePort() });
	onEnd.push(() => headscale[Symbol.asyncDispose]());
	conclude(`${binary} answers at ${headscale.url}`);
	return headscale;
}

async function serverJoins(props: Props, parts: MeshParts, headscale: TestHeadscale): Promise<{ readonly api: Api; readonly lan: Lan }> {
	const { home, dataDir, signal, onEnd } = props;
	step("The Muster server gets a place on the mesh, and a listener for the LAN that is for enrolling only");
	const dir = join(home, "server-mesh");
	mkdirSync(dir, { mode: 0o700 });
	const client = await TestTailscale.start({ dir, programs: parts });
	onEnd.push(() => client[Symbol.asyncDispose]());
	const address = await client.join(headscale.url, await headscale.mint(), "muster");
	const [lanPort, apiPort] = [await freePort(), await freePort()];
	const lan = await Lan.open(lanPort);
	onEnd.push(() => lan.close());
	const env = {
		MUSTER_DATA_DIR: dataDir,
		MUSTER_LISTEN: `127.0.0.1:${lanPort}`,
		MUSTER_API_LISTEN: `127.0.0.1:${apiPort}`,
		MUSTER_METRICS_LISTEN: "127.0.0.1:0",
		MUSTER_PUBLIC_URL: lan.url,
		MUSTER_SERVER_ADDR: `${address}:${apiPort}`,
		MUSTER_SHARED_SECRET: sharedSecret,
		MUSTER_HEARTBEAT_SECONDS: "1",
		MUSTER_MESH: "headscale",
		MUSTER_HEADSCALE_URL: headscale.url,
		MUSTER_HEADSCALE_API_KEY: headscale.apiKey,
		MUSTER_HEADSCALE_USER: headscale.user,
		MUSTER_HEADSCALE_TAGS: "tag:muster",
	};
	const runtime = process.versions["deno"] === undefined ? "bun" : "deno";
	const server = new Child(commandFor(runtime, "src/main.ts", ["serve"]), { ...env, HOME: process.env["HOME"] ?? home }, root);
	onEnd.push(() => server.stop());
	await server.line(signal, "server.started");
	await server.line(signal, "Admin token");
	evidence(`on the mesh  ${address}:${apiPort}`, `on the LAN   ${lan.url}`);
	conclude("Workers enroll on the LAN and report on the mesh");
	return { api: { url: `http://127.0.0.1:${apiPort}`, token: (await readFile(join(dataDir, "admin-token"), "utf8")).trim() }, lan };
}

const made = v.object({ made: v.object({ host: v.object({ id: v.string() }), secret: v.string() }) });

async function hostJoins(scene: Scene): Promise<{ readonly id: string; readonly worker: Child; readonly address: string }> {
	const { api, signal, machine } = scene;
	step("An admin makes a host; its machine enrolls with the one-use token, gets a key for the mesh, and joins");
	const query = "mutation ($name: String!) { made: createHost(input: { name: $name }) { host { id } secret } }";
	const { host, secret } = (await ask(api, made, query, { name: machine.name })).made;
	const worker = await workerStarts(scene, entry(scene, secret));
	evidence(
		await worker.line(signal, "worker.enrolled"),
		await worker.line(signal, "mesh.joined"),
		await worker.line(signal, "worker.connected"),
	);
	await beats(scene, host.id);
	const address = await until("the host's address on the mesh", signal, async () => (await look(scene, host.id)).meshAddress ?? undefined);
	conclude(`The API shows ${machine.name} at ${address}; the key is gone from its disk`);
	return { id: host.id, worker, address };
}

async function lanIsClosed(scene: Scene, id: string): Promise<void> {
	step("The LAN is closed");
	await scene.lan.close();
	const at = await beats(scene, id);
	evidence(`heartbeat at ${at}`);
	conclude("Heartbeats go on: they come over the mesh");
}

async function restartWithoutAnything(scene: Scene, id: string, worker: Child): Promise<void> {
	step("The worker is restarted with nothing but its state directory: no token, no secret, no address");
	const before = await attempts(scene);
	await worker.stop();
	const again = await workerStarts(scene, {});
	evidence(await again.line(scene.signal, "mesh.joined"), await again.line(scene.signal, "worker.connected"));
	await beats(scene, id);
	expect((await attempts(scene)) === before, "The restarted worker enrolled again");
	conclude(`Still ${before} enroll attempt${before === 1 ? "" : "s"} in all`);
	await again.stop();
}

async function nodeIsDeleted(scene: Scene, id: string, address: string): Promise<void> {
	const { api, signal, headscale } = scene;
	step("Somebody deletes the machine's node at Headscale: the worker says so, and comes back with a new token only");
	await headscale.deleteNode(address);
	const without = await workerStarts(scene, {});
	const code = await without.exitCode(signal);
	evidence(await without.line(signal, "mesh.lost"));
	expect(code === refusedForGood, `The worker ended with ${code} and not with ${refusedForGood}`);
	await scene.lan.reopen();
	const query = "mutation ($id: ID!) { made: regenerateHostToken(id: $id) { host { id } secret } }";
	const { secret } = (await ask(api, made, query, { id })).made;
	const back = await workerStarts(scene, entry(scene, secret));
	evidence(await back.line(signal, "mesh.joined"));
	await beats(scene, id);
	conclude("With it, it is the same host again");
	await back.stop();
}

function entry({ lan, machine }: Scene, token: string): Readonly<Record<string, string>> {
	return { MUSTER_URL: lan.url, MUSTER_ENROLL_TOKEN: token, MUSTER_SHARED_SECRET: sharedSecret, MUSTER_NODE_NAME: machine.name };
}

async function workerStarts({ binary, machine, parts, onEnd }: Scene, env: Readonly<Record<string, string>>): Promise<Child> {
	const { tailscale, tailscaled } = parts;
	const worker = startWorker(binary, machine, { MUSTER_TAILSCALE: tailscale, MUSTER_TAILSCALED: tailscaled, ...plainRelay, ...env });
	onEnd.push(() => worker.stop());
	return worker;
}

const hostShape = v.object({ host: v.object({ meshAddress: v.nullable(v.string()), lastHeartbeatAt: v.nullable(v.string()) }) });

async function look({ api }: Scene, id: string): Promise<v.InferOutput<typeof hostShape>["host"]> {
	return (await ask(api, hostShape, "query ($id: ID!) { host(id: $id) { meshAddress lastHeartbeatAt } }", { id })).host;
}

/** Waits for a heartbeat that was not there before; gives its time. */
async function beats(scene: Scene, id: string): Promise<string> {
	const before = (await look(scene, id)).lastHeartbeatAt;
	return until("a heartbeat", scene.signal, async () => {
		const { lastHeartbeatAt: at } = await look(scene, id);
		return at !== null && at !== before ? at : undefined;
	});
}

async function attempts({ api }: Scene): Promise<number> {
	const shape = v.object({ enrollmentAttempts: v.object({ totalCount: v.number() }) });
	return (await ask(api, shape, "{ enrollmentAttempts { totalCount } }")).enrollmentAttempts.totalCount;
}

/** The only way from the machine to the LAN listener: passes bytes until it is closed. */
class Lan {
	readonly url: string;
	readonly #port: number;
	readonly #target: number;
	readonly #open = new Set<Socket>();
	#server: Server | undefined;

	private constructor(port: number, target: number) {
		this.#port = port;
		this.#target = target;
		this.url = `http://127.0.0.1:${port}`;
	}

	static async open(target: number): Promise<Lan> {
		const lan = new Lan(await freePort(), target);
		await lan.reopen();
		return lan;
	}

	async reopen(): Promise<void> {
		const server = createServer((near) => {
			const far = connect(this.#target, "127.0.0.1");
			for (const [from, to] of [[near, far] as const, [far, near] as const]) {
				this.#open.add(from);
				from.once("close", () => this.#open.delete(from));
				from.once("error", () => to.destroy());
				from.pipe(to);
			}
		});
		this.#server = server;
		await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
	}

	async close(): Promise<void> {
		const server = this.#server;
		this.#server = undefined;
		for (const socket of this.#open) socket.destroy();
		if (server !== undefined) await new Promise((resolve) => server.close(resolve));
	}
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	await new Promise((resolve) => server.close(resolve));
	return typeof address === "object" && address !== null ? address.port : 0;
}
