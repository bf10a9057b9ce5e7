/** The story the demo tells, step by step. */
import { readFile, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import * as v from "valibot";
import { mintToken } from "../../src/protocol/token.ts";
import { commandFor } from "../../tests/support/runtimes.ts";
import { ensureWorker, outputPath } from "../../worker/build.ts";
import { Child, type Machine, makeMachine, startWorker } from "./children.ts";
import { type Api, ask, type Live, watch } from "./live.ts";
import { conclude, evidence, expect, step, until } from "./stage.ts";

/** What the story plays with. */
export interface Props {
	readonly home: string;
	readonly dataDir: string;
	readonly signal: AbortSignal;
	/** What undoes it, to be called in reverse. */
	readonly onEnd: (() => Promise<void>)[];
}

interface Scene extends Props {
	readonly api: Api;
	readonly binary: string;
	readonly siteCode: string;
}

const root = dirname(dirname(import.meta.dirname));
const heartbeatSeconds = 1;
const staleSeconds = 4;
const refusedForGood = 77;

/** Tells all of it; throws a sentence when a step's evidence does not come. */
export async function tell(props: Props): Promise<void> {
	const api = await serverStarts(props);
	const scene: Scene = { ...props, api, binary: await workerIsBuilt(props.signal), siteCode: "harbour" };
	const key = await siteAndKey(scene);
	const machines = ["crane-1", "crane-2", "crane-3"].map((name) => makeMachine(scene.home, name));
	const workers = await workersEnroll(scene, machines, key);
	await heartbeatsStream(scene);
	const [crane, , lost] = machines;
	if (crane === undefined || lost === undefined) return;
	await restartWithoutSecret(scene, crane, workers);
	await wrongKey(scene);
	await rotation(scene, key);
	await lossAndReturn(scene, lost, workers);
}

/** Starts the server; resolves once it is ready. */
export async function serverStarts({ home, dataDir, signal, onEnd }: Props): Promise<Api> {
	step("A Muster server starts, with an empty data directory and a PostgreSQL of its own");
	const runtime = process.versions.deno === undefined ? "bun" : "deno";
	const env = {
		MUSTER_DATA_DIR: dataDir,
		MUSTER_LISTEN: "127.0.0.1:0",
		MUSTER_METRICS_LISTEN: "127.0.0.1:0",
		MUSTER_HEARTBEAT_SECONDS: String(heartbeatSeconds),
		MUSTER_STALE_SECONDS: String(staleSeconds),
	};
	const server = new Child(commandFor(runtime, "src/main.ts", ["serve"]), { ...env, HOME: process.env.HOME ?? home }, root);
	onEnd.push(() => server.stop());
	await server.line(signal, "server.started");
	const address = await server.line(signal, "GraphQL and GraphiQL");
	evidence(await server.line(signal, "Muster is up"), address, await server.line(signal, "Admin token"));
	const url = /(http\S+)\/graphql/.exec(address)?.[1] ?? "";
	const health = await fetch(`${url}/health/ready`);
	expect(health.ok, `The server is up but not ready: ${health.status} ${await health.text()}`);
	conclude(`${url}/health/ready answers ${health.status}`);
	return { url, token: (await readFile(join(dataDir, "admin-token"), "utf8")).trim() };
}

/** Builds the worker when it is not there, and shows it. */
export async function workerIsBuilt(signal: AbortSignal): Promise<string> {
	step("The worker is one file that needs nothing else on its host");
	const changedMs = () =>
		stat(outputPath(root, undefined)).then(
			({ mtimeMs }) => mtimeMs,
			() => 0,
		);
	const before = await changedMs();
	const binary = await ensureWorker(root);
	signal.throwIfAborted();
	const fresh = (await changedMs()) !== before;
	const megabytes = (await stat(binary)).size / 1e6;
	conclude(`${relative(root, binary)}, ${megabytes.toFixed(0)} MB, ${fresh ? "was built just now" : "is up to date, nothing to build"}`);
	return binary;
}

const rotated = v.object({ rotateSiteKey: v.object({ secret: v.string(), key: v.object({ fingerprint: v.string() }) }) });

async function siteAndKey({ api, siteCode }: Scene): Promise<string> {
	step("An admin makes a site and its key through the GraphQL API");
	const created = v.object({ createSite: v.object({ site: v.object({ code: v.string(), name: v.string() }) }) });
	const { createSite } = await ask(
		api,
		created,
		"mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { code name } } }",
		{
			input: { code: siteCode, name: "Harbour" },
		},
	);
	evidence(`createSite     ${createSite.site.code}, "${createSite.site.name}"`);
	return rotate(api, siteCode);
}

async function rotate(api: Api, siteCode: string): Promise<string> {
	const query = "mutation ($siteCode: String!) { rotateSiteKey(siteCode: $siteCode) { secret key { fingerprint } } }";
	const { rotateSiteKey } = await ask(api, rotated, query, { siteCode });
	evidence(`rotateSiteKey  ${rotateSiteKey.secret.slice(0, 21)}…  fingerprint ${rotateSiteKey.key.fingerprint}`);
	conclude(`The whole key was shown this once; from now on only ${rotateSiteKey.key.fingerprint} is`);
	return rotateSiteKey.secret;
}

/** What lets a machine into the site. */
function withKey({ api, siteCode }: Scene, { name }: Machine, key: string) {
	return { MUSTER_URL: api.url, MUSTER_SITE_CODE: siteCode, MUSTER_ENROLL_TOKEN: key, MUSTER_WORKER_NAME: name };
}

async function workersEnroll(scene: Scene, machines: readonly Machine[], key: string): Promise<ReadonlyMap<string, Child>> {
	step("Three machines boot with that one key, and each gets a credential of its own");
	const workers = new Map<string, Child>();
	for (const machine of machines) {
		const worker = startWorker(scene.binary, machine, withKey(scene, machine, key));
		workers.set(machine.name, worker);
		scene.onEnd.push(() => worker.stop());
	}
	for (const worker of workers.values()) {
		evidence(await worker.line(scene.signal, "worker.enrolled", "outcome=NEW"));
		await worker.line(scene.signal, "worker.connected");
	}
	const online = await until("three workers online", scene.signal, async () => {
		const names = await onlineWorkers(scene);
		return names.length === machines.length ? names : undefined;
	});
	conclude(`The API lists ${online.length} workers that are ACTIVE and online: ${online.join(", ")}`);
	return workers;
}

const listed = v.object({
	workers: v.object({ nodes: v.array(v.object({ name: v.string(), state: v.string(), online: v.boolean() })) }),
});

async function onlineWorkers({ api, siteCode }: Scene): Promise<readonly string[]> {
	const query = "query ($siteCode: String!) { workers(siteCode: $siteCode) { nodes { name state online } } }";
	const { workers } = await ask(api, listed, query, { siteCode });
	return workers.nodes
		.filter(({ online, state }) => online && state === "ACTIVE")
		.map(({ name }) => name)
		.sort();
}

async function heartbeatsStream(scene: Scene): Promise<void> {
	step("Their heartbeats arrive live, over a GraphQL subscription");
	const beat = v.object({
		heartbeat: v.object({ name: v.string(), at: v.string(), load1: v.nullable(v.number()), memoryUsedBytes: v.nullable(v.number()) }),
	});
	const query = "subscription ($siteCode: String) { heartbeat(siteCode: $siteCode) { name at load1 memoryUsedBytes } }";
	const live = watch(scene.api, beat, query, { siteCode: scene.siteCode });
	scene.onEnd.push(() => live.stop());
	const names = new Set<string>();
	for (let shown = 0; shown < 6 || names.size < 3; shown++) {
		const { heartbeat } = await nextOf(live, shown, "a heartbeat", scene.signal);
		names.add(heartbeat.name);
		const vitals = `load ${heartbeat.load1?.toFixed(2) ?? "?"}  memory ${((heartbeat.memoryUsedBytes ?? 0) / 2 ** 20).toFixed(0)} MiB`;
		evidence(`${heartbeat.at}  ${heartbeat.name}  ${vitals}`);
	}
	await live.stop();
	conclude(`All ${names.size} workers were heard, one beat a second each`);
}

async function nextOf<T>(live: Live<T>, index: number, what: string, signal: AbortSignal): Promise<T> {
	return until(what, signal, () => {
		const why = live.ended();
		if (why !== undefined) throw new Error(`The subscription ended before ${what} came: ${why}`);
		return live.events[index];
	});
}

async function attempts({ api }: Scene): Promise<number> {
	const counted = v.object({ enrollmentAttempts: v.object({ totalCount: v.number() }) });
	return (await ask(api, counted, "{ enrollmentAttempts { totalCount } }")).enrollmentAttempts.totalCount;
}

function workerIdIn(line: string): string {
	return /workerId=(\S+)/.exec(line)?.[1] ?? "";
}

async function restartWithoutSecret(scene: Scene, machine: Machine, workers: ReadonlyMap<string, Child>): Promise<void> {
	step(`${machine.name} restarts, this time without any secret`);
	const former = workers.get(machine.name);
	const before = await attempts(scene);
	const id = workerIdIn(former?.said("worker.enrolled") ?? "");
	await former?.stop();
	const again = startWorker(scene.binary, machine, {});
	scene.onEnd.push(() => again.stop());
	evidence(await again.line(scene.signal, "worker.started"), await again.line(scene.signal, "worker.connected"));
	const kept = (await readFile(join(machine.dir, "state", ".MUSTER_WORKER_ID"), "utf8")).trim();
	const after = await attempts(scene);
	evidence(`enroll attempts on the server: ${before} before, ${after} after`, `worker id: ${id} before, ${kept} after`);
	expect(after === before && again.said("worker.enrolled") === undefined, "The worker enrolled again although it had its credential");
	expect(kept === id, "The worker came back with another id");
	conclude("It came back with the credential it keeps: the same worker, and no enroll call");
}

async function wrongKey(scene: Scene): Promise<void> {
	step("A stranger tries a key that looks right and is not");
	const wrong = mintToken("site", crypto.getRandomValues(new Uint8Array(38))).text;
	await refused(scene, makeMachine(scene.home, "stranger"), wrong, "invalid_token");
}

async function refused(scene: Scene, machine: Machine, key: string, reason: string): Promise<void> {
	const worker = startWorker(scene.binary, machine, withKey(scene, machine, key));
	scene.onEnd.push(() => worker.stop());
	const said = await worker.line(scene.signal, "worker.stopped");
	const code = await worker.exitCode(scene.signal);
	evidence(said);
	expect(said.includes(`reason=${reason}`), `The worker was refused for another reason than ${reason}`);
	expect(code === refusedForGood, `The worker ended with ${code} in place of ${refusedForGood}`);
	conclude(`Refused: one line that says why, exit code ${code}`);
}

async function rotation(scene: Scene, formerKey: string): Promise<void> {
	step("The admin rotates the key: the old one stops working at once, the new one works");
	const key = await rotate(scene.api, scene.siteCode);
	const machine = makeMachine(scene.home, "crane-4");
	evidence("crane-4 tries the old key:");
	await refused(scene, machine, formerKey, "revoked");
	const worker = startWorker(scene.binary, machine, withKey(scene, machine, key));
	scene.onEnd.push(() => worker.stop());
	evidence("crane-4 tries the new key:", await worker.line(scene.signal, "worker.enrolled"));
	await worker.line(scene.signal, "worker.connected");
	const online = await until("all four workers online", scene.signal, async () => {
		const names = await onlineWorkers(scene);
		return names.length === 4 ? names : undefined;
	});
	conclude(`Accepted; those that came in with the old key were not disturbed, online are ${online.join(", ")}`);
}

async function lossAndReturn(scene: Scene, machine: Machine, workers: ReadonlyMap<string, Child>): Promise<void> {
	step(`${machine.name} loses power, and the alert arrives over a subscription`);
	const raised = v.object({
		alert: v.object({ kind: v.string(), severity: v.string(), message: v.string(), worker: v.nullable(v.object({ name: v.string() })) }),
	});
	const live = watch(
		scene.api,
		raised,
		"subscription ($siteCode: String) { alert(siteCode: $siteCode) { kind severity message worker { name } } }",
		{
			siteCode: scene.siteCode,
		},
	);
	scene.onEnd.push(() => live.stop());
	const arrives = async (kind: string) => {
		const { alert } = await until(`the ${kind} alert`, scene.signal, () => {
			const why = live.ended();
			if (why !== undefined) throw new Error(`The alert subscription ended: ${why}`);
			return live.events.find((event) => event.alert.kind === kind && event.alert.worker?.name === machine.name);
		});
		evidence(`${alert.kind}  ${alert.severity}  ${alert.message}`);
	};
	await workers.get(machine.name)?.pullThePlug();
	await arrives("HOST_DEGRADED");
	conclude(`${staleSeconds} seconds without a heartbeat were enough`);

	step(`Power is back, and so is ${machine.name}, by itself`);
	const again = startWorker(scene.binary, machine, {});
	scene.onEnd.push(() => again.stop());
	evidence(await again.line(scene.signal, "worker.connected"));
	await arrives("HOST_RECOVERED");
	conclude("The host is where it was before");
	await live.stop();
}
