/** `npm run demo -- --fuse`: a host is given into Muster's hands and taken back, with this machine's Docker Engine. Fetches nothing. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { makeMachine, startWorker } from "./children.ts";
import { type Api, ask } from "./live.ts";
import { conclude, evidence, expect, step, until } from "./stage.ts";
import { type Props, serverStarts, workerIsBuilt } from "./story.ts";

/** The programs it needs beside Muster. */
export interface FuseParts {
	readonly busybox: string;
}

/** Finds them, or says in a sentence what is missing. */
export function findFuseParts(): FuseParts | { readonly missing: string } {
	const docker = spawnSync("docker", ["info", "--format", "{{.ID}}"], { encoding: "utf8" });
	if (docker.error !== undefined) return { missing: "The demo needs Docker's command line for --fuse: install docker.io, or docker-ce" };
	if (docker.status !== 0)
		return {
			missing: `The demo needs a Docker Engine that this user may use for --fuse: ${docker.stderr.trim().split("\n").at(-1) ?? ""}`,
		};
	const busybox = spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).stdout.trim();
	if (busybox === "") return { missing: "The demo needs busybox for --fuse, of which it makes an image: install busybox-static" };
	return { busybox };
}

interface FuseScene {
	readonly api: Api;
	readonly signal: AbortSignal;
	readonly hostId: string;
	readonly image: string;
	/** The name of the container it makes. */
	readonly container: string;
}

/** Tells it; throws a sentence when a step's evidence does not come. */
export async function tellFuse(props: Props, parts: FuseParts): Promise<void> {
	const api = await serverStarts(props);
	const binary = await workerIsBuilt(props.signal);
	const run = randomBytes(4).toString("hex");
	const names = { image: `muster-demo:${run}`, container: `muster-demo-${run}` };
	const hostId = await hostEnrolls(props, api, binary);
	const scene: FuseScene = { api, signal: props.signal, hostId, ...names };
	importImage(props, parts, scene);
	await hostIsSeen(scene);
	await nothingIsChanged(scene);
	await hostIsFused(scene);
	await containerComesAndGoes(scene);
	await hostIsUnfused(scene);
}

const hostShape = v.object({
	id: v.string(),
	name: v.string(),
	state: v.string(),
	engine: v.nullable(v.object({ id: v.nullable(v.string()), version: v.nullable(v.string()) })),
	containers: v.array(v.object({ name: v.string(), state: v.string() })),
	fusion: v.nullable(v.object({ engineId: v.nullable(v.string()), failureMessage: v.nullable(v.string()) })),
});
const hostSelection = "id name state engine { id version } containers(first: 100) { name state } fusion { engineId failureMessage }";

async function hostNow({ api, hostId }: Pick<FuseScene, "api" | "hostId">) {
	const query = `query ($id: ID!) { host(id: $id) { ${hostSelection} } }`;
	return (await ask(api, v.object({ host: hostShape }), query, { id: hostId })).host;
}

async function hostEnrolls(props: Props, api: Api, binary: string): Promise<string> {
	step("A host that has Docker enrolls, and is MONITORING");
	const site = v.object({ rotateSiteKey: v.object({ secret: v.string() }) });
	await ask(api, v.unknown(), 'mutation { createSite(input: { code: "dock" }) { site { id } } }');
	const key = (await ask(api, site, 'mutation { rotateSiteKey(siteCode: "dock") { secret } }')).rotateSiteKey.secret;
	const machine = makeMachine(props.home, "pier-1");
	const worker = startWorker(binary, machine, {
		MUSTER_URL: api.url,
		MUSTER_SITE_CODE: "dock",
		MUSTER_ENROLL_TOKEN: key,
		MUSTER_WORKER_NAME: machine.name,
	});
	props.onEnd.push(() => worker.stop());
	evidence(await worker.line(props.signal, "worker.enrolled", "outcome=NEW"));
	const list = v.object({ hosts: v.object({ nodes: v.array(hostShape) }) });
	const host = await until("the host with its engine", props.signal, async () => {
		const [first] = (await ask(api, list, `{ hosts { nodes { ${hostSelection} } } }`)).hosts.nodes;
		return first?.engine?.id == null ? undefined : first;
	});
	conclude(`Host "${host.name}" is ${host.state}; its Docker Engine ${host.engine?.version ?? ""} has the id ${host.engine?.id ?? ""}`);
	return host.id;
}

/** An image of busybox alone: nothing is pulled. */
function importImage({ home, onEnd }: Props, { busybox }: FuseParts, { image, container }: FuseScene): void {
	const place = join(home, "image");
	mkdirSync(join(place, "bin"), { recursive: true });
	copyFileSync(busybox, join(place, "bin", "busybox"));
	for (const tool of ["sh", "sleep"]) symlinkSync("busybox", join(place, "bin", tool));
	onEnd.push(async () => {
		spawnSync("docker", ["rm", "--force", "--volumes", container], { stdio: "ignore" });
		spawnSync("docker", ["rmi", "--force", image], { stdio: "ignore" });
	});
	const pack = 'tar -C "$1" -c . | docker import --change "ENV PATH=/bin" --change \'CMD ["sleep","100000"]\' - "$2"';
	execFileSync("sh", ["-c", pack, "sh", place, image], { stdio: "pipe" });
}

async function hostIsSeen(scene: FuseScene): Promise<void> {
	step("Its containers are seen without any further right");
	const name = `${scene.container}-seen`;
	execFileSync("docker", ["run", "--detach", "--network", "none", "--name", name, scene.image], { stdio: "pipe" });
	try {
		const found = await until("the container in the API", scene.signal, async () =>
			(await hostNow(scene)).containers.find((one) => one.name === name),
		);
		evidence(`docker run --name ${name} ${scene.image}`);
		conclude(`The API lists "${found.name}", ${found.state}`);
	} finally {
		spawnSync("docker", ["rm", "--force", name], { stdio: "ignore" });
	}
}

const create = "mutation ($input: CreateContainerInput!) { createContainer(input: $input) { command { id } } }";

async function nothingIsChanged({ api, hostId, image, container }: FuseScene): Promise<void> {
	step("But nothing can be changed there");
	const refused = await ask(api, v.unknown(), create, { input: { hostId, image, name: container } }).then(
		() => undefined,
		(error: unknown) => (error instanceof Error ? error.message : String(error)),
	);
	expect(refused !== undefined, "A container was made on a host that is not fused");
	evidence(refused ?? "");
	conclude("An admin has to fuse the host first: whoever may use Docker is root there");
}

async function hostIsFused(scene: FuseScene): Promise<void> {
	step("An admin fuses the host: its worker proves its engine, and that engine is pinned");
	await ask(scene.api, v.unknown(), "mutation ($id: ID!) { fuseHost(id: $id) { host { id } } }", { id: scene.hostId });
	const host = await until("the host to be FUSED", scene.signal, async () => {
		const now = await hostNow(scene);
		expect(now.state !== "MONITORING", `It was not fused: ${now.fusion?.failureMessage ?? "no reason is known"}`);
		return now.state === "FUSED" ? now : undefined;
	});
	expect(host.fusion?.engineId === host.engine?.id, "Another engine was pinned than the one that is there");
	conclude(`Host "${host.name}" is FUSED to ${host.fusion?.engineId ?? ""}`);
}

async function containerComesAndGoes(scene: FuseScene): Promise<void> {
	const { hostId, image, container } = scene;
	step("A container is made, stopped, started and removed from afar");
	const on = { hostId, container };
	const running = () => spawnSync("docker", ["inspect", "--format", "{{.State.Status}}", container], { encoding: "utf8" }).stdout.trim();
	const asked = [
		["createContainer", "CreateContainerInput", { hostId, image, name: container, start: true }, "running"],
		["stopContainer", "StopContainerInput", { ...on, timeoutSeconds: 0 }, "exited"],
		["startContainer", "ContainerInput", on, "running"],
		["removeContainer", "RemoveContainerInput", { ...on, force: true }, ""],
	] as const;
	for (const [name, type, input, state] of asked) {
		await does(scene, name, type, input);
		expect(running() === state, `After ${name} Docker says "${running()}" of the container, not "${state}"`);
		evidence(`${name.padEnd(16)} docker inspect: ${state === "" ? "no such container" : state}`);
	}
	conclude("Each of them is a command with an end, and a line in the audit log");
}

const ended = v.object({ command: v.object({ state: v.string(), errorMessage: v.nullable(v.string()) }) });

async function does({ api, signal }: FuseScene, name: string, type: string, input: object): Promise<void> {
	const made = v.object({ [name]: v.object({ command: v.object({ id: v.string() }) }) });
	const { [name]: payload } = await ask(api, made, `mutation ($input: ${type}!) { ${name}(input: $input) { command { id } } }`, { input });
	const query = "query ($id: ID!) { command(id: $id) { state errorMessage } }";
	const command = await until(`the end of ${name}`, signal, async () => {
		const now = (await ask(api, ended, query, { id: payload?.command.id })).command;
		return now.state === "QUEUED" || now.state === "RUNNING" ? undefined : now;
	});
	expect(command.state === "SUCCEEDED", `${name} ended ${command.state}: ${command.errorMessage ?? ""}`);
}

async function hostIsUnfused(scene: FuseScene): Promise<void> {
	step("The host is unfused, and is what it was");
	await ask(scene.api, v.unknown(), "mutation ($id: ID!) { unfuseHost(id: $id) { host { id } } }", { id: scene.hostId });
	const lines = v.object({ auditLog: v.object({ nodes: v.array(v.object({ action: v.string(), subject: v.string() })) }) });
	const { auditLog } = await ask(scene.api, lines, "{ auditLog(first: 100) { nodes { action subject } } }");
	const told = auditLog.nodes.filter(({ action, subject }) => subject === scene.hostId && action.startsWith("host.")).reverse();
	evidence(...told.map(({ action }) => `audit  ${action}`));
	const { state, name } = await hostNow(scene);
	expect(state === "MONITORING", `The host is ${state} after it was unfused`);
	conclude(`Host "${name}" is ${state} again`);
}
