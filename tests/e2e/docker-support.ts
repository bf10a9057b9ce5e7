/** What the tests of commands against a real Docker Engine share: an image without a registry, a way to it that can be cut, a worker. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandReport } from "../../src/protocol/commands.ts";
import { type ControlPlane, startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { soon } from "./support.ts";

const busybox = spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).stdout.trim();
/** Whether the tests can run here. */
export const hasDocker = busybox !== "" && spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0;

const run = crypto.randomUUID().slice(0, 8);
/** The image of these tests. */
export const image = `muster-engine-tiny:${run}`;
const realSocket = process.env.DOCKER_HOST?.replace(/^unix:\/\//, "") ?? "/var/run/docker.sock";

/** A name of this run's own, which `tidy` removes. */
export function named(what: string): string {
	return `muster-engine-${what}-${run}`;
}

/** Runs docker's own client; throws its words. */
export function docker(...args: readonly string[]): string {
	return execFileSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** Imports the image. */
export function importImage(): void {
	const place = mkdtempSync(join(tmpdir(), "muster-engine-image-"));
	mkdirSync(join(place, "bin"));
	mkdirSync(join(place, "tmp"));
	copyFileSync(busybox, join(place, "bin", "busybox"));
	for (const tool of ["sh", "cat", "sleep", "echo", "yes", "head", "kill"]) symlinkSync("busybox", join(place, "bin", tool));
	const line = 'tar -C "$1" -c . | docker import --change "ENV PATH=/bin" --change \'CMD ["sleep","100000"]\' - "$2"';
	execFileSync("sh", ["-c", line, "sh", place, image], { stdio: "pipe" });
	rmSync(place, { recursive: true, force: true });
}

/** Removes every container of this run, and the image. */
export function tidy(): void {
	for (const filter of [`name=${run}`, `ancestor=${image}`]) {
		const { stdout } = spawnSync("docker", ["ps", "--all", "--quiet", "--filter", filter], { encoding: "utf8" });
		for (const id of stdout.split("\n").filter((line) => line !== ""))
			spawnSync("docker", ["rm", "--force", "--volumes", id], { stdio: "ignore" });
	}
	spawnSync("docker", ["rmi", "--force", image], { stdio: "ignore" });
}

/** A container that runs; its id. */
export function runContainer(what: string, ...rest: readonly string[]): string {
	return docker("run", "--detach", "--network", "none", "--stop-timeout", "1", "--name", named(what), image, ...rest);
}

/** A socket before Docker's, which can go away as Docker does, and hold back answers to requests of a kind. */
export class DockerDoor implements AsyncDisposable {
	path = "";
	/** Requests whose first line matches are done by Docker, and their answers never arrive. */
	swallow: RegExp | undefined;
	/** How many answers were swallowed. */
	swallowed = 0;
	#place: string | undefined;
	readonly #open = new Set<Socket>();
	#server: Server | undefined;

	/** Listens, at the same place each time. */
	async open(): Promise<void> {
		this.#place ??= mkdtempSync(join(tmpdir(), "muster-engine-door-"));
		this.path = join(this.#place, "docker.sock");
		const server = createServer((near) => {
			const far = connect(realSocket);
			let silent = false;
			for (const socket of [near, far]) {
				this.#open.add(socket);
				socket.on("error", () => {});
				socket.once("close", () => {
					this.#open.delete(socket);
					near.destroy();
					far.destroy();
				});
			}
			near.on("data", (data) => {
				if (this.swallow?.test(data.toString("latin1"))) silent = true;
				if (!far.write(data)) near.pause();
			});
			far.on("drain", () => near.resume());
			far.on("data", (data) => {
				if (silent) {
					this.swallowed += 1;
					return;
				}
				if (!near.write(data)) far.pause();
			});
			near.on("drain", () => far.resume());
			near.on("end", () => far.end());
			far.on("end", () => near.end());
		});
		server.listen({ path: this.path });
		await new Promise<void>((resolve) => void server.once("listening", resolve));
		this.#server = server;
	}

	/** Cuts everything, and listens no more. */
	async shut(): Promise<void> {
		for (const socket of this.#open) socket.destroy();
		await new Promise<void>((resolve) => void this.#server?.close(() => resolve()));
		rmSync(this.path, { force: true });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#place === undefined) return;
		await this.shut();
		rmSync(this.#place, { recursive: true, force: true });
	}
}

/** A scripted server and a machine whose worker it knows. */
export class Post implements AsyncDisposable {
	readonly plane: ControlPlane;
	readonly machine = new Machine();
	readonly #env: Readonly<Record<string, string>>;
	worker: RunningWorker | undefined;

	private constructor(plane: ControlPlane, env: Readonly<Record<string, string>>) {
		this.plane = plane;
		const { workerId, apiKey } = plane.createWorker("edge-1");
		this.#env = { MUSTER_URL: plane.url, MUSTER_WORKER_ID: workerId, MUSTER_WORKER_API_KEY: apiKey, ...env };
	}

	static async start(env: Readonly<Record<string, string>> = {}): Promise<Post> {
		const post = new Post(await startControlPlane(), env);
		await post.startWorker();
		return post;
	}

	/** Starts the worker, as often as it has ended; resolves once it takes orders. */
	async startWorker(): Promise<RunningWorker> {
		const before = this.plane.desk.engines.length;
		this.worker = await runWorker(this.machine, [], this.#env);
		await soon(
			"the worker's report on its engine",
			this.plane.until(() => this.plane.desk.engines.length > before),
		);
		return this.worker;
	}

	/** Ends the worker as a crash does. */
	async crash(): Promise<void> {
		this.worker?.child.kill("SIGKILL");
		await this.worker?.exited;
	}

	/** How a command ended. */
	async end(commandId: string): Promise<CommandReport> {
		const { desk } = this.plane;
		await soon(
			`the end of ${commandId}`,
			this.plane.until(() => desk.endOf(commandId) !== undefined),
		);
		return desk.endOf(commandId) as CommandReport;
	}

	/** Proves and grants, as the server's fuse does; the engine's id. */
	async fuse(): Promise<string> {
		const { desk } = this.plane;
		const proven = await this.end(desk.order("fuse.prove", { challenge: named("challenge"), image: null }));
		const { engineId } = proven.result as { readonly engineId: string };
		await this.end(desk.order("fuse.grant", { provider: "DOCKER", engineId }));
		return engineId;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.worker?.[Symbol.asyncDispose]();
		await this.plane[Symbol.asyncDispose]();
		this.machine[Symbol.dispose]();
	}
}
