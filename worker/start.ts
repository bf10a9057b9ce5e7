import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Endpoint, parseEndpoint } from "./address.ts";
import { callCheck, type Fetch } from "./client.ts";
import { type Config, missingForEnrollment } from "./config.ts";
import { type Disk, systemDisk } from "./disk.ts";
import { type Enrollment, enrollment } from "./enrollment.ts";
import { dockerHost, readHostname, readPlatform, readVitals } from "./facts.ts";
import { Fatal } from "./fatal.ts";
import { workOnHost } from "./host-work.ts";
import { type Identity, type IdentityStore, identityStore } from "./identity.ts";
import { type Processes, takeLock } from "./lock.ts";
import { startLoop } from "./loop.ts";
import type { Assignment, Loop, LoopDeps } from "./loop-port.ts";
import { explainLostState } from "./lost-state.ts";
import { openMesh } from "./mesh.ts";
import type { MeshPlan } from "./mesh-port.ts";
import { deriveMachineUid, readMachineIds } from "./machine-uid.ts";
import { behindListener, startMetrics } from "./metrics.ts";
import { systemHost } from "./metrics-host.ts";
import { Progress } from "./metrics-worker.ts";
import { type OpenSocket, openSocket } from "./socket.ts";
import { openStateDir } from "./state-dir.ts";
import type { Timers } from "./timers.ts";
import { workerVersion } from "./version.ts";

/** What a worker is started with. */
export interface StartDeps {
	readonly clock: Clock;
	readonly random: Random;
	readonly timers: Timers;
	readonly log: Log;
	readonly processes: Processes;
	readonly disk?: Disk;
	readonly fetch?: Fetch;
	readonly openSocket?: OpenSocket;
}

/** A started worker. */
export interface Worker extends Loop {
	/** Takes this configuration's addresses from the next connection on; the rest of it was read at the start. Throws `Fatal` 78, and changes nothing, when there is none. */
	reconfigure(config: Config): void;
}

/**
 * Starts `run`, or with `enrollOnlySeconds` the command `enroll`: takes the state directory, finds out whether there is a credential, and sets the
 * loop going. The directory is free again when the loop's `done` resolves. Throws `Fatal`, or `Problems` when something is not configured.
 */
export function startWorker(deps: StartDeps, config: Config, enrollOnlySeconds: number | undefined): Worker {
	const disk = deps.disk ?? systemDisk;
	const fetch = deps.fetch ?? globalThis.fetch;
	const stateDir = openStateDir(config.stateDir);
	const lock = takeLock({ ...deps, disk }, stateDir);
	let addresses = config;
	try {
		const store = identityStore(disk, stateDir);
		const identity = findIdentity(deps.log, store, config);
		const work: Assignment = {
			identity,
			enrollment: mayEnroll(config, identity) ? prepareEnrollment({ ...deps, disk, fetch, store }, config, stateDir) : undefined,
			enrollsAgain: canEnrollAgain(config),
			hasEntry: canEnroll(config),
			meshFor: (known) => (enrollOnlySeconds === undefined || store.hasMeshKey() ? meshPlan(config, known) : undefined),
			enrollOnlySeconds,
			endpointFor: (known) => reportEndpoint(addresses, known),
			nameFor: (known) => reportName(deps.log, config, known),
		};
		const mesh = config.mesh.mode === "off" ? undefined : openMesh({ ...deps, disk }, config.mesh, stateDir, store);
		// Told to join, it says what is missing before a token is used up.
		if (config.mesh.asked || (identity !== undefined && meshPlan(config, identity) !== undefined)) mesh?.checkTools();
		const known = identity === undefined ? {} : { workerId: identity.credential.workerId };
		deps.log.info("worker.started", { version: workerVersion, stateDir, ...known });
		const progress = new Progress(deps.clock);
		const beside = enrollOnlySeconds === undefined ? workOnHost({ ...deps, disk }, config.dockerSocket, dockerHost(), stateDir) : undefined;
		const loopDeps: LoopDeps = {
			...deps,
			...(beside === undefined ? {} : { hostWork: beside }),
			openSocket: deps.openSocket ?? openSocket,
			check: (endpoint, credential, signal) => callCheck(fetch, endpoint, credential, signal),
			readVitals: () => ({ ...readVitals(), version: workerVersion }),
			touchLock: () => lock.touch(),
			...(mesh === undefined ? {} : { mesh }),
			observe: (event, state, effects) => progress.observe(event, state, effects),
		};
		const page = {
			progress,
			...(beside === undefined ? {} : { beside }),
			mesh,
			host: systemHost(),
			stateDir,
			version: workerVersion,
			platform: readPlatform(),
			pid: deps.processes.self.pid,
		};
		const loop =
			config.metricsPort === undefined || enrollOnlySeconds !== undefined
				? startLoop(loopDeps, work)
				: behindListener(startMetrics(page, config.metricsPort), () => startLoop(loopDeps, work));
		return {
			signal: (name) => loop.signal(name),
			reconfigure(next) {
				if (identity !== undefined) reportEndpoint(next, identity);
				addresses = next;
			},
			done: loop.done.finally(() => lock.release()),
		};
	} catch (error) {
		lock.release();
		throw error;
	}
}

/** Several things that are wrong or missing in the configuration, one line each. */
export class Problems extends Error {
	override readonly name = "Problems";
	readonly lines: readonly string[];

	constructor(lines: readonly string[]) {
		super(lines.join("; "));
		this.lines = lines;
	}
}

function findIdentity(log: Log, store: IdentityStore, config: Config): Identity | undefined {
	if (config.apiKey === undefined) return keptIdentity(log, store, config);
	const kept = store.peek()?.credential.workerId;
	if (kept !== undefined && kept !== config.apiKey.workerId) {
		log.warn("credential.ignored", {
			workerId: kept,
			why: `MUSTER_WORKER_ID and MUSTER_WORKER_API_KEY are those of worker "${config.apiKey.workerId}": they beat the state directory, whose files stay as they are`,
		});
	}
	return { credential: { workerId: config.apiKey.workerId, apiKey: config.apiKey.key }, server: undefined };
}

/** The kept pair, which beats every setting that is only for enrolling (A9). Throws `Problems` when MUSTER_WORKER_ID alone names another worker. */
function keptIdentity(log: Log, store: IdentityStore, { requestedId, enrollKey }: Config): Identity | undefined {
	const identity = store.load();
	const kept = identity?.credential.workerId;
	if (kept === undefined || requestedId === undefined || kept === requestedId) return identity;
	if (enrollKey === undefined) {
		throw new Problems([
			`Cannot use MUSTER_WORKER_ID "${requestedId}" alone: the state directory holds worker "${kept}", give MUSTER_WORKER_API_KEY too, or unset MUSTER_WORKER_ID`,
		]);
	}
	log.warn("requested_id.ignored", {
		workerId: kept,
		why: `this host is enrolled as "${kept}": to ask for "${requestedId}", remove .MUSTER_WORKER_ID and .MUSTER_WORKER_API_KEY from the state directory`,
	});
	return identity;
}

/** Whether the configuration holds all that an enrollment needs, be it a one-use token that was used before. */
function canEnroll({ url, enrollKey, name, apiKey }: Config): boolean {
	return apiKey === undefined && url !== undefined && name !== undefined && enrollKey !== undefined;
}

/** Whether an enrollment has to be at hand: at once, or should the server or the mesh forget this host. */
function mayEnroll(config: Config, identity: Identity | undefined): boolean {
	return identity === undefined || canEnrollAgain(config) || (canEnroll(config) && meshPlan(config, identity) !== undefined);
}

/** The mesh this host is to be on: the one that the enroll reply named, or with the mode `host` whichever this host is on. */
export function meshPlan(config: Config, { server }: Identity): MeshPlan | undefined {
	if (config.mesh.mode === "off") return undefined;
	const nodeName = server?.name ?? config.name ?? readHostname();
	if (server?.mesh) return { controlUrl: server.mesh.controlUrl, nodeName };
	return config.mesh.mode === "host" ? { controlUrl: undefined, nodeName } : undefined;
}

/** Whether the configuration would enroll this host anew, should its credential be refused for good: a one-use token would not, and a given API key never enrolls. */
function canEnrollAgain(config: Config): boolean {
	return canEnroll(config) && config.enrollKey?.kind !== "host";
}

function prepareEnrollment(
	deps: StartDeps & { readonly disk: Disk; readonly fetch: Fetch; readonly store: IdentityStore },
	config: Config,
	stateDir: string,
): Enrollment {
	const { url, enrollKey, name, requestedId } = config;
	if (url === undefined || enrollKey === undefined || name === undefined) throw new Problems(missingForEnrollment(config));
	const machineUid = deriveMachineUid(
		{ disk: deps.disk, random: deps.random, readIds: () => readMachineIds(deps.disk) },
		{ stateDir, machineIdFile: config.machineIdFile },
	);
	const own = { hostname: readHostname(), machineUid, platform: readPlatform(), version: workerVersion };
	const facts = { name, ...(requestedId === undefined ? {} : { requestedId }), ...own, labels: config.labels };
	return explainLostState(
		enrollment(deps, { endpoint: url, key: enrollKey, facts }),
		enrollKey.kind,
		stateDir,
		() => deps.store.peek() !== undefined,
	);
}

/**
 * Where to report: the configured address, else the server's on the mesh, else what the enroll reply said besides, else where it enrolled. Throws
 * `Fatal` 78 when there is none.
 */
export function reportEndpoint(config: Config, { server }: Identity): Endpoint {
	const onMesh = config.mesh.mode === "off" ? null : server?.mesh?.serverAddress;
	const told = [onMesh ?? server?.address, server?.enrolledAt].map((text) => (text ? parseEndpoint(text) : undefined));
	const endpoint = config.serverAddr ?? told[0] ?? config.url ?? told[1];
	if (endpoint === undefined) {
		throw new Fatal(exitCodes.config, "Cannot report: neither MUSTER_SERVER_ADDR nor MUSTER_URL is set, give the server's address");
	}
	return endpoint;
}

/** The server pins the connection to the name it enrolled this worker under (H9), so that name beats a later setting. */
function reportName(log: Log, config: Config, { server }: Identity): string | undefined {
	if (server === undefined) return config.name;
	if (config.name !== undefined && config.name !== server.name && config.name !== server.askedName) {
		log.debug("name.ignored", { name: config.name, why: `this worker enrolled as "${server.name}"` });
	}
	return server.name;
}
