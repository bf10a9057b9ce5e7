import type { HostRecord } from "../hosts/host.ts";
import { transition } from "../hosts/lifecycle.ts";
import { labelsToJson } from "../lib/label.ts";
import type { WorkerView } from "../workers/worker.ts";
import type { ProvenRequest } from "./request.ts";
import { pair, type World } from "./world.ts";

/** The worker as the claim makes it: what it says of itself, in the place its key opens. Keeps the id, uid and age of the one there was. */
export function enrolledWorker(world: World, request: ProvenRequest, old: WorkerView | undefined, now: number): WorkerView {
	const { claim } = request;
	const key = world.keys.get(request.keyId);
	const siteId = key?.siteId ?? null;
	return {
		...(old ?? newWorker(request, now)),
		machineUid: uidOf(old, claim.machineUid),
		name: claim.name,
		hostname: claim.hostname,
		siteId,
		fleetId: key?.fleetId ?? (old?.siteId === siteId ? old.fleetId : null),
		keyId: request.keyId,
		keyVersion: key?.version ?? null,
		method: request.method,
		autoEnrolled: request.method === "AUTO_ENROLLMENT",
		state: "ACTIVE",
		pendingReason: null,
		labels: { ...old?.labels, ...key?.labels, ...labelsToJson(claim.labels) },
		version: claim.version,
		platform: claim.platform,
		enrolledAt: now,
	};
}

/** The claimed uid, except for a worker that was split off from another machine of the same uid: it keeps the one it was given. */
function uidOf(old: WorkerView | undefined, claimed: string): string | null {
	return old?.contestedUid === claimed ? old.machineUid : claimed;
}

/** The worker as it waits for an operator; of a collision with the evidence of both claimants (S5), and without the uid, which has an owner. */
export function heldWorker(world: World, request: ProvenRequest, why: "COLLISION" | "APPROVAL_REQUIRED", now: number): WorkerView {
	const worker: WorkerView = {
		...enrolledWorker(world, request, undefined, now),
		state: "PENDING",
		pendingReason: why,
		hostId: request.fresh.hostId,
	};
	if (why !== "COLLISION") return worker;
	const first = world.byMachine.get(pair(request.tenantId, request.claim.machineUid));
	const incumbent = first === undefined ? undefined : world.workers.get(first);
	return {
		...worker,
		id: request.fresh.workerId,
		machineUid: null,
		contestedUid: request.claim.machineUid,
		contestedWorkerId: incumbent?.id ?? null,
		evidence: {
			incumbent: {
				workerId: incumbent?.id ?? null,
				name: incumbent?.name ?? null,
				hostname: incumbent?.hostname ?? null,
				lastHeartbeatAt: incumbent?.lastHeartbeatAt ?? null,
			},
			claimant: { name: request.claim.name, hostname: request.claim.hostname, sourceAddress: request.sourceAddress, at: now },
		},
	};
}

function newWorker(request: ProvenRequest, now: number): WorkerView {
	return {
		tenantId: request.tenantId,
		id: request.claim.requestedId ?? request.fresh.workerId,
		name: request.claim.name,
		hostname: request.claim.hostname,
		machineUid: request.claim.machineUid,
		siteId: null,
		fleetId: null,
		keyId: request.keyId,
		keyVersion: null,
		method: request.method,
		autoEnrolled: false,
		state: "ACTIVE",
		pendingReason: null,
		contestedUid: null,
		contestedWorkerId: null,
		evidence: null,
		labels: {},
		version: null,
		platform: null,
		createdAt: now,
		enrolledAt: now,
		hostId: null,
		lastHeartbeatAt: null,
	};
}

/** The host of an enrolled worker: the one its token is for, else the one it has, moved along its life, or a new one. */
export function enrolledHost(world: World, request: ProvenRequest, worker: WorkerView, now: number): HostRecord {
	const bound = boundHost(world, request);
	const mayTake = bound !== undefined && (bound.workerId === null || bound.workerId === worker.id);
	const old = mayTake ? bound : worker.hostId === null ? undefined : world.hosts.get(worker.hostId);
	if (old === undefined) return newHost(request, worker, now);
	return { ...old, ...transition(old, "enrolled"), workerId: worker.id, siteId: worker.siteId, name: worker.name, monitoringSince: now };
}

/** The host that the request's token is for; undefined for other keys. */
export function boundHost(world: World, request: ProvenRequest): HostRecord | undefined {
	const hostId = world.keys.get(request.keyId)?.hostId;
	return hostId == null ? undefined : world.hosts.get(hostId);
}

/** The host of a held worker: the one its token is for unless that has a worker, else one of its own; it waits with its worker. */
export function heldHost(world: World, request: ProvenRequest, worker: WorkerView, now: number): HostRecord {
	const bound = boundHost(world, request);
	if (bound !== undefined && bound.workerId === null) return { ...bound, workerId: worker.id };
	return { ...newHost(request, worker, now), state: "PENDING", lastKnownState: "PENDING", monitoringSince: null };
}

/** A host for a worker that has none. */
export function newHost(request: ProvenRequest, worker: WorkerView, now: number): HostRecord {
	return {
		id: request.fresh.hostId,
		tenantId: request.tenantId,
		name: worker.name,
		siteId: worker.siteId,
		workerId: worker.id,
		state: "MONITORING",
		lastKnownState: "MONITORING",
		meshAddress: null,
		fuseProvider: null,
		monitoringSince: now,
		createdAt: now,
	};
}
