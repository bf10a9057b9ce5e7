import type { NewAlert } from "../alerts/alert.ts";
import type { HostRecord } from "../hosts/host.ts";
import type { IdMint } from "../lib/id.ts";
import type { Outcome } from "../protocol/codes.ts";
import { nameIsFamiliar } from "../sites/name-pattern.ts";
import type { WorkerView } from "../workers/worker.ts";
import { clockToleranceMs } from "../protocol/auto-enroll.ts";
import { replyMemoryMs } from "./limits.ts";
import type { FreshMeshKey, ProvenRequest } from "./request.ts";
import { pair, putWorker, type World } from "./world.ts";

/** Puts a worker into the world and among the changes, once, in its final form. */
export function storeWorker(world: World, worker: WorkerView, isNew: boolean): void {
	const key = pair(worker.tenantId, worker.id);
	const formerUid = world.workers.get(key)?.machineUid;
	if (formerUid != null && formerUid !== worker.machineUid) world.byMachine.delete(pair(worker.tenantId, formerUid));
	putWorker(world, worker);
	if (isNew || world.changes.newWorkers.has(key)) world.changes.newWorkers.set(key, worker);
	else world.changes.oldWorkers.set(key, worker);
}

/** The same for a host; an event tells of what people can see changing. */
export function storeHost(world: World, host: HostRecord): void {
	const old = world.hosts.get(host.id);
	if (old === undefined || world.changes.newHosts.has(host.id)) world.changes.newHosts.set(host.id, host);
	else world.changes.oldHosts.set(host.id, host);
	world.hosts.set(host.id, host);
	const visible =
		old === undefined || old.state !== host.state || old.siteId !== host.siteId || old.name !== host.name || old.workerId !== host.workerId;
	if (visible) world.changes.events.push({ tenantId: host.tenantId, event: { kind: "host", host } });
}

/**
 * Leaves a host without a worker: its worker goes on as the host `toId`. It waits for a new token, or to be deleted, and then must not take the
 * worker's node with it: the keys that the machine joined with are the other host's from now on.
 */
export function detachHost(world: World, hostId: string, toId: string): void {
	const { meshMoved, meshHeld } = world.changes;
	for (const [from, to] of meshMoved) if (to === hostId) meshMoved.set(from, toId);
	meshMoved.set(hostId, toId);
	for (const [id, key] of meshHeld) if (key.hostId === hostId) meshHeld.set(id, { ...key, hostId: toId });
	const host = world.hosts.get(hostId);
	if (host !== undefined) storeHost(world, { ...host, workerId: null, state: "PENDING", lastKnownState: "PENDING", monitoringSince: null });
}

/** From now on the nonce of this request counts as seen, until its timestamp is out of tolerance for good (A6). */
export function rememberNonce(world: World, { tenantId, proof }: ProvenRequest, now: number): void {
	if (proof === null || world.seenNonces.has(pair(tenantId, proof.nonce))) return;
	world.seenNonces.add(pair(tenantId, proof.nonce));
	// A timestamp from the future becomes good later: its nonce must outlive that. The last minute is for servers whose clocks differ.
	const expiresAt = Math.max(now, proof.timestampMs) + clockToleranceMs + 60_000;
	world.changes.nonces.set(pair(tenantId, proof.nonce), { tenantId, nonce: proof.nonce, expiresAt });
}

/** Adds the credential that was made ahead of the verdict; of a shared one, its use by this worker. */
export function addCredential(world: World, { fresh, tenantId }: ProvenRequest, workerId: string, now: number): void {
	if (fresh.shared) {
		world.changes.grants.set(pair(tenantId, workerId), { tenantId, workerId, credentialId: fresh.credentialId, at: now });
		return;
	}
	world.changes.credentials.set(fresh.credentialId, {
		id: fresh.credentialId,
		tenantId,
		workerId,
		name: "enrollment",
		selector: fresh.selector,
		hash: Buffer.from(fresh.secretHash).toString("hex"),
		hint: fresh.hint,
		createdAt: now,
	});
}

/** Keeps what this enrollment id was answered (G6). */
export function remember(
	world: World,
	request: ProvenRequest,
	workerId: string,
	hostId: string,
	answer: { readonly state: "held" | "admitted"; readonly outcome: Exclude<Outcome, "REPLAYED"> | null; readonly now: number },
): void {
	const { tenantId, enrollmentId, fresh } = request;
	const admitted = answer.state === "admitted";
	const prior = {
		tenantId,
		enrollmentId,
		keyId: request.keyId,
		workerId,
		hostId,
		machineUid: request.claim.machineUid,
		replyKey: request.replyKey,
		state: answer.state,
		outcome: answer.outcome,
		credentialId: admitted ? fresh.credentialId : null,
		sealed: admitted ? fresh.sealed : null,
		...meshMemory(admitted ? request : undefined),
		createdAt: answer.now,
		expiresAt: admitted ? answer.now + replyMemoryMs : null,
		credentialUsed: false,
		credentialRevoked: false,
	};
	world.priors.set(pair(tenantId, enrollmentId), prior);
	world.changes.priors.set(pair(tenantId, enrollmentId), prior);
}

/** What the reply memory keeps of the mesh key that a request gives out. */
export function meshMemory(request: ProvenRequest | undefined): { readonly meshKeyId: string | null; readonly sealedMesh: string | null } {
	if (request?.mesh.kind !== "minted") return { meshKeyId: null, sealedMesh: null };
	return { meshKeyId: request.mesh.id, sealedMesh: request.mesh.key.sealedAuthKey };
}

/** Gives the request's mesh key to its worker, in place of the one that the same enrollment got before and did not use. */
export function giveMeshKey(world: World, { mesh }: ProvenRequest, hostId: string, former: string | null): FreshMeshKey | null {
	if (former !== null) {
		world.changes.meshHeld.delete(former);
		world.changes.meshReplaced.add(former);
	}
	if (mesh.kind !== "minted") return null;
	world.changes.meshHeld.set(mesh.id, { id: mesh.id, hostId });
	return mesh.key;
}

/** Counts one use of the key (B4), and consumes a host token. */
export function countUse(world: World, request: ProvenRequest, workerId: string, now: number, mintId: IdMint): void {
	const key = world.keys.get(request.keyId);
	if (key === undefined) return;
	const consumed = key.kind === "host";
	world.keys.set(key.id, { ...key, uses: key.uses + 1, consumedAt: consumed ? now : key.consumedAt });
	const before = world.changes.uses.get(key.id)?.uses ?? 0;
	const { id, active, revokedAt, graceEndsAt } = key;
	world.changes.uses.set(id, { id, active, revokedAt, graceEndsAt, uses: before + 1, at: now, workerId, consumed });
	// A host token has one use by its nature: that it is used up is no news.
	if (consumed || key.maxUses === null || key.uses + 1 < key.maxUses) return;
	raise(world, request, now, mintId, {
		kind: "KEY_EXHAUSTED",
		severity: "warning",
		workerId,
		hostId: null,
		message: `Enrollment key "${key.name}" has had all its ${key.maxUses} use(s): later workers are refused, create a new key if they are wanted`,
		topic: `exhausted ${key.id}`,
	});
}

/** Raises UNFAMILIAR_WORKER when the name is not of the kind that the site, or without a pattern of its own the tenant, expects (A14). */
export function warnOfUnfamiliarName(world: World, request: ProvenRequest, worker: WorkerView, now: number, mintId: IdMint): void {
	const site = worker.siteId === null ? undefined : world.sites.get(worker.siteId);
	const pattern = site?.workerNamePattern ?? world.tenantPatterns.get(worker.tenantId) ?? null;
	if (nameIsFamiliar(pattern, worker.name)) return;
	raise(world, request, now, mintId, {
		kind: "UNFAMILIAR_WORKER",
		severity: "warning",
		workerId: worker.id,
		hostId: worker.hostId,
		message: `Worker "${worker.name}" does not match the names expected ${site?.workerNamePattern ? `at site "${site.code}"` : "of this tenant"} (${pattern})`,
	});
}

/** Raises an alert. */
export function raise(
	world: World,
	request: ProvenRequest,
	now: number,
	mintId: IdMint,
	what: Pick<NewAlert, "kind" | "severity" | "message" | "workerId" | "hostId"> & { readonly topic?: string },
): void {
	const siteId = world.keys.get(request.keyId)?.siteId ?? null;
	world.changes.alerts.push({
		id: mintId("alert"),
		tenantId: request.tenantId,
		at: now,
		siteId,
		acknowledgedAt: null,
		topic: null,
		...what,
	});
}
