import type { AlertRecord } from "../alerts/alert.ts";
import type { HostRecord } from "../hosts/host.ts";
import { transition } from "../hosts/lifecycle.ts";
import { absurd } from "../lib/absurd.ts";
import type { IdMint } from "../lib/id.ts";
import { labelsToJson } from "../lib/label.ts";
import type { Outcome } from "../protocol/codes.ts";
import { nameIsFamiliar } from "../sites/name-pattern.ts";
import type { WorkerView } from "../workers/worker.ts";
import type { Verdict } from "./decide.ts";
import { replyMemoryMs } from "./limits.ts";
import { noteAttempt } from "./note.ts";
import type { ProvenRequest } from "./request.ts";
import type { EnrollResult } from "./result.ts";
import { pair, putWorker, type World, workerOf } from "./world.ts";

/** Carries one verdict into the world and its changes, and says what the worker is told. Touches no database. */
export function apply(world: World, request: ProvenRequest, verdict: Verdict, now: number, mintId: IdMint): EnrollResult {
	switch (verdict.kind) {
		case "admit":
			return admit(world, request, verdict.workerId, verdict.outcome, now, mintId);
		case "replay":
			return replay(world, request, verdict.workerId, verdict.sealed, now, mintId);
		case "hold":
			return hold(world, request, verdict, now, mintId);
		case "refuse": {
			if (verdict.why === "worker_exists") {
				raise(world, request, now, mintId, {
					kind: "WORKER_EXISTS",
					severity: "warning",
					message: `Enrollment of "${request.claim.name}" refused: ${verdict.detail}`,
					workerId: request.claim.requestedId,
					hostId: null,
				});
			}
			noteAttempt(
				world,
				request,
				{ accepted: false, outcome: null, reason: verdict.why, workerId: null, hostId: null },
				verdict.detail,
				now,
				mintId,
			);
			return { kind: "rejected", reason: verdict.why, message: verdict.detail, retryAfterSeconds: null };
		}
		default:
			return absurd(verdict);
	}
}

function admit(
	world: World,
	request: ProvenRequest,
	workerId: string | undefined,
	outcome: Exclude<Outcome, "REPLAYED">,
	now: number,
	mintId: IdMint,
): EnrollResult {
	const prior = world.priors.get(pair(request.tenantId, request.enrollmentId));
	const old = workerId === undefined ? undefined : workerOf(world, request.tenantId, workerId);
	const worker = enrolledWorker(world, request, old, now);
	const host = enrolledHost(world, request, worker, now);
	const view: WorkerView = { ...worker, hostId: host.id };
	storeWorker(world, view, old === undefined);
	storeHost(world, host);
	addCredential(world, request, worker.id, now);
	remember(world, request, worker.id, host.id, { state: "admitted", outcome, now });
	// A claim that was held has had its use counted when it was held.
	if (prior?.state !== "held") countUse(world, request, worker.id, now);
	if (outcome === "NEW") warnOfUnfamiliarName(world, request, view, now, mintId);
	noteAttempt(world, request, { accepted: true, outcome, reason: null, workerId: worker.id, hostId: host.id }, null, now, mintId);
	return {
		kind: "enrolled",
		workerId: worker.id,
		hostId: host.id,
		name: worker.name,
		outcome,
		apiKey: request.fresh.apiKey,
		sealedApiKey: request.fresh.sealed,
	};
}

function replay(world: World, request: ProvenRequest, workerId: string, sealed: string | null, now: number, mintId: IdMint): EnrollResult {
	const prior = world.priors.get(pair(request.tenantId, request.enrollmentId));
	const worker = workerOf(world, request.tenantId, workerId);
	const hostId = prior?.hostId ?? worker?.hostId ?? "";
	if (sealed === null && prior !== undefined) {
		if (prior.credentialId !== null && !world.changes.credentials.delete(prior.credentialId))
			world.changes.replaced.add(prior.credentialId);
		addCredential(world, request, workerId, now);
		const next = { ...prior, credentialId: request.fresh.credentialId, credentialUsed: false, credentialRevoked: false };
		world.priors.set(pair(prior.tenantId, prior.enrollmentId), next);
		world.changes.priors.set(pair(prior.tenantId, prior.enrollmentId), next);
	}
	noteAttempt(world, request, { accepted: true, outcome: "REPLAYED", reason: null, workerId, hostId: hostId || null }, null, now, mintId);
	return {
		kind: "enrolled",
		workerId,
		hostId,
		name: worker?.name ?? request.claim.name,
		outcome: "REPLAYED",
		apiKey: sealed === null ? request.fresh.apiKey : null,
		sealedApiKey: sealed,
	};
}

function hold(
	world: World,
	request: ProvenRequest,
	verdict: Extract<Verdict, { kind: "hold" }>,
	now: number,
	mintId: IdMint,
): EnrollResult {
	const known = verdict.workerId === undefined ? undefined : workerOf(world, request.tenantId, verdict.workerId);
	const worker = known ?? heldWorker(world, request, verdict.why, now);
	if (known === undefined) {
		const host: HostRecord = { ...newHost(request, worker, now), state: "PENDING", lastKnownState: "PENDING", monitoringSince: null };
		storeWorker(world, { ...worker, hostId: host.id }, true);
		storeHost(world, host);
		countUse(world, request, worker.id, now);
		if (verdict.why === "COLLISION") {
			raise(world, request, now, mintId, {
				kind: "COLLISION",
				severity: "critical",
				workerId: worker.id,
				hostId: host.id,
				message: `"${request.claim.name}" on ${request.claim.hostname ?? "an unnamed host"} claims the machine of worker ${worker.contestedWorkerId}, which is online: adopt, split or ban`,
			});
		}
	}
	const prior = world.priors.get(pair(request.tenantId, request.enrollmentId));
	if (prior?.state !== "held")
		remember(world, request, worker.id, worker.hostId ?? request.fresh.hostId, { state: "held", outcome: null, now });
	noteAttempt(
		world,
		request,
		{ accepted: false, outcome: null, reason: null, workerId: worker.id, hostId: worker.hostId },
		verdict.why,
		now,
		mintId,
	);
	return { kind: "pending", workerId: worker.id, reason: verdict.why };
}

function enrolledWorker(world: World, request: ProvenRequest, old: WorkerView | undefined, now: number): WorkerView {
	const { claim } = request;
	const key = world.keys.get(request.keyId);
	const siteId = key?.siteId ?? null;
	return {
		...(old ?? newWorker(request, now)),
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

function heldWorker(world: World, request: ProvenRequest, why: "COLLISION" | "APPROVAL_REQUIRED", now: number): WorkerView {
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

function enrolledHost(world: World, request: ProvenRequest, worker: WorkerView, now: number): HostRecord {
	const hostId = worker.hostId ?? world.keys.get(request.keyId)?.hostId ?? null;
	const old = hostId === null ? undefined : world.hosts.get(hostId);
	if (old === undefined) return newHost(request, worker, now);
	return { ...old, ...transition(old, "enrolled"), workerId: worker.id, siteId: worker.siteId, name: worker.name, monitoringSince: now };
}

function newHost(request: ProvenRequest, worker: WorkerView, now: number): HostRecord {
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

function storeWorker(world: World, worker: WorkerView, isNew: boolean): void {
	const key = pair(worker.tenantId, worker.id);
	putWorker(world, worker);
	if (isNew || world.changes.newWorkers.has(key)) world.changes.newWorkers.set(key, worker);
	else world.changes.oldWorkers.set(key, worker);
}

function storeHost(world: World, host: HostRecord): void {
	const old = world.hosts.get(host.id);
	if (old === undefined || world.changes.newHosts.has(host.id)) world.changes.newHosts.set(host.id, host);
	else world.changes.oldHosts.set(host.id, host);
	world.hosts.set(host.id, host);
	const visible =
		old === undefined || old.state !== host.state || old.siteId !== host.siteId || old.name !== host.name || old.workerId !== host.workerId;
	if (visible) world.changes.events.push({ tenantId: host.tenantId, event: { kind: "host", host } });
}

function addCredential(world: World, { fresh, tenantId }: ProvenRequest, workerId: string, now: number): void {
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

function remember(
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
		createdAt: answer.now,
		expiresAt: admitted ? answer.now + replyMemoryMs : null,
		credentialUsed: false,
		credentialRevoked: false,
	};
	world.priors.set(pair(tenantId, enrollmentId), prior);
	world.changes.priors.set(pair(tenantId, enrollmentId), prior);
}

function countUse(world: World, request: ProvenRequest, workerId: string, now: number): void {
	const key = world.keys.get(request.keyId);
	if (key === undefined) return;
	const consumed = key.kind === "host";
	world.keys.set(key.id, { ...key, uses: key.uses + 1, consumedAt: consumed ? now : key.consumedAt });
	const before = world.changes.uses.get(key.id)?.uses ?? 0;
	world.changes.uses.set(key.id, { id: key.id, uses: before + 1, at: now, workerId, consumed });
}

function warnOfUnfamiliarName(world: World, request: ProvenRequest, worker: WorkerView, now: number, mintId: IdMint): void {
	const site = worker.siteId === null ? undefined : world.sites.get(worker.siteId);
	if (site === undefined || nameIsFamiliar(site.workerNamePattern, worker.name)) return;
	raise(world, request, now, mintId, {
		kind: "UNFAMILIAR_WORKER",
		severity: "warning",
		workerId: worker.id,
		hostId: worker.hostId,
		message: `Worker "${worker.name}" does not match the names expected at site "${site.code}" (${site.workerNamePattern})`,
	});
}

function raise(
	world: World,
	request: ProvenRequest,
	now: number,
	mintId: IdMint,
	what: Pick<AlertRecord, "kind" | "severity" | "message" | "workerId" | "hostId">,
): void {
	const siteId = world.keys.get(request.keyId)?.siteId ?? null;
	const alert: AlertRecord = { id: mintId("alert"), tenantId: request.tenantId, at: now, siteId, acknowledgedAt: null, ...what };
	world.changes.alerts.push(alert);
	world.changes.events.push({ tenantId: request.tenantId, event: { kind: "alert", alert } });
}
