import type { HostRecord } from "../hosts/host.ts";
import type { KeyRecord } from "../keys/key.ts";
import type { SiteRecord } from "../sites/site.ts";
import type { WorkerView } from "../workers/worker.ts";
import { type Changes, noChanges } from "./changes.ts";
import { clockToleranceMs } from "../protocol/auto-enroll.ts";
import type { AutoFacts, Facts, HostFacts, PriorFacts, WorkerFacts } from "./facts.ts";
import type { Loaded, PriorRecord } from "./loaded.ts";
import type { ProvenRequest } from "./request.ts";

/**
 * The part of the database that one batch sees: loaded once under lock, then changed by each verdict in turn, so that the next
 * request of the batch is decided against what the ones before it did. Lives for one transaction.
 */
export interface World {
	readonly keys: Map<string, KeyRecord>;
	readonly sites: Map<string, SiteRecord>;
	/** By tenant and id. */
	readonly workers: Map<string, WorkerView>;
	/** By tenant and machine uid. */
	readonly byMachine: Map<string, string>;
	/** Claims that collided, by tenant, uid and hostname. */
	readonly byContest: Map<string, string>;
	readonly hosts: Map<string, HostRecord>;
	readonly priors: Map<string, PriorRecord>;
	readonly tenantPatterns: ReadonlyMap<string, string>;
	/** Tenants whose auto-enrollment is on. */
	readonly autoEnabled: ReadonlySet<string>;
	/** By tenant and nonce. */
	readonly seenNonces: Set<string>;
	readonly liveShared: ReadonlySet<string>;
	/** Mesh keys that may be given out. */
	readonly meshKeys: ReadonlySet<string>;
	readonly changes: Changes;
	readonly staleMs: number;
}

/** Opens the world on what was loaded. */
export function openWorld(loaded: Loaded, staleMs: number): World {
	const world: World = {
		keys: new Map(loaded.keys.map((key) => [key.id, key])),
		sites: new Map(loaded.sites.map((site) => [site.id, site])),
		workers: new Map(),
		byMachine: new Map(),
		byContest: new Map(),
		hosts: new Map(loaded.hosts.map((host) => [host.id, host])),
		priors: new Map(loaded.priors.map((prior) => [pair(prior.tenantId, prior.enrollmentId), prior])),
		tenantPatterns: new Map(loaded.tenantPatterns.map(({ tenantId, pattern }) => [tenantId, pattern])),
		autoEnabled: new Set(loaded.auto.flatMap(({ tenantId, enabled }) => (enabled ? [tenantId] : []))),
		seenNonces: new Set(loaded.seenNonces.map(({ tenantId, nonce }) => pair(tenantId, nonce))),
		liveShared: new Set(loaded.liveShared),
		meshKeys: new Set(loaded.meshKeys),
		changes: noChanges(),
		staleMs,
	};
	for (const worker of loaded.workers) putWorker(world, worker);
	return world;
}

/** Adds or replaces a worker in the world's indexes. */
export function putWorker(world: World, worker: WorkerView): void {
	const key = pair(worker.tenantId, worker.id);
	world.workers.set(key, worker);
	if (worker.machineUid !== null) world.byMachine.set(pair(worker.tenantId, worker.machineUid), key);
	if (worker.contestedUid !== null) world.byContest.set(contest(worker.tenantId, worker.contestedUid, worker.hostname), key);
}

/** The facts for one request, as the world stands now. */
export function factsFor(world: World, request: ProvenRequest, sourceAllowed: (key: KeyRecord) => boolean): Facts {
	const { tenantId, claim } = request;
	const key = world.keys.get(request.keyId);
	const site = key?.siteId == null ? undefined : world.sites.get(key.siteId);
	const prior = world.priors.get(pair(tenantId, request.enrollmentId));
	return {
		key,
		site,
		sameMachine: workerAt(world, world.byMachine.get(pair(tenantId, claim.machineUid))),
		requested: claim.requestedId === null ? undefined : workerAt(world, pair(tenantId, claim.requestedId)),
		heldClaim: workerAt(world, world.byContest.get(contest(tenantId, claim.machineUid, claim.hostname))),
		prior: prior === undefined ? undefined : priorFacts(world, prior),
		host: key?.hostId == null ? undefined : hostFacts(world, key.hostId),
		auto: autoFacts(world, request),
		mesh: meshFacts(world, request),
		sourceAllowed: key === undefined || sourceAllowed(key),
		staleMs: world.staleMs,
	};
}

/** A worker of the world by tenant and id. */
export function workerOf(world: World, tenantId: string, id: string): WorkerView | undefined {
	return world.workers.get(pair(tenantId, id));
}

/** The key of maps that are by tenant and something of the tenant's own choosing. */
export function pair(tenantId: string, id: string): string {
	return `${tenantId}\n${id}`;
}

function contest(tenantId: string, uid: string, hostname: string | null): string {
	return `${tenantId}\n${uid}\n${hostname ?? ""}`;
}

function workerAt(world: World, key: string | undefined): WorkerFacts | undefined {
	return key === undefined ? undefined : world.workers.get(key);
}

function hostFacts(world: World, hostId: string): HostFacts | undefined {
	const host = world.hosts.get(hostId);
	if (host === undefined) return undefined;
	return { name: host.name, worker: host.workerId === null ? undefined : workerOf(world, host.tenantId, host.workerId) };
}

function autoFacts(world: World, { tenantId, proof, fresh }: ProvenRequest): AutoFacts | undefined {
	if (proof === null) return undefined;
	return {
		enabled: world.autoEnabled.has(tenantId),
		nonceSeen: world.seenNonces.has(pair(tenantId, proof.nonce)),
		credentialLive: world.liveShared.has(fresh.credentialId),
		toleranceMs: clockToleranceMs,
	};
}

function meshFacts({ meshKeys }: World, { mesh }: ProvenRequest): Facts["mesh"] {
	if (mesh.kind === "none") return "none";
	return mesh.kind === "minted" && meshKeys.has(mesh.id) ? "ready" : "missing";
}

function priorFacts(world: World, prior: PriorRecord): PriorFacts {
	const worker = workerOf(world, prior.tenantId, prior.workerId);
	return {
		machineUid: prior.machineUid,
		replyKey: prior.replyKey,
		keyId: prior.keyId,
		state: prior.state,
		outcome: prior.outcome,
		worker,
		superseded: worker !== undefined && worker.enrolledAt > prior.createdAt,
		sealed: prior.sealed,
		credential: prior.credentialId === null ? undefined : { used: prior.credentialUsed, revoked: prior.credentialRevoked },
		expiresAt: prior.expiresAt,
	};
}
