import { absurd } from "../lib/absurd.ts";
import type { IdMint } from "../lib/id.ts";
import type { Outcome } from "../protocol/codes.ts";
import type { WorkerView } from "../workers/worker.ts";
import { enrolledHost, enrolledWorker, heldHost, heldWorker } from "./claimant.ts";
import type { Verdict } from "./decide.ts";
import { noteAttempt } from "./note.ts";
import type { FreshMeshKey, ProvenRequest } from "./request.ts";
import type { EnrollResult } from "./result.ts";
import { overloadedRetrySeconds } from "./limits.ts";
import { refusalMessage } from "./messages.ts";
import { pair, type World, workerOf } from "./world.ts";
import {
	addCredential,
	countUse,
	detachHost,
	giveMeshKey,
	meshMemory,
	raise,
	remember,
	rememberNonce,
	storeHost,
	storeWorker,
	warnOfUnfamiliarName,
} from "./write.ts";

/** Carries one verdict into the world and its changes, and says what the worker is told. Touches no database. */
export function apply(world: World, request: ProvenRequest, verdict: Verdict, now: number, mintId: IdMint): EnrollResult {
	rememberNonce(world, request, now);
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
					// A worker in a restart loop asks again and again: one a day says it.
					topic: `exists ${request.claim.requestedId} ${request.claim.machineUid} ${Math.floor(now / 86_400_000)}`,
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
			return {
				kind: "rejected",
				reason: verdict.why,
				// A key that was deleted since it was proven answers word for word like one that never was.
				message: verdict.why === "invalid_token" ? refusalMessage(verdict.why) : verdict.detail,
				retryAfterSeconds: verdict.why === "overloaded" ? overloadedRetrySeconds : null,
			};
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
	if (worker.hostId !== null && worker.hostId !== host.id) detachHost(world, worker.hostId, host.id);
	storeWorker(world, view, old === undefined);
	storeHost(world, host);
	addCredential(world, request, worker.id, now);
	remember(world, request, worker.id, host.id, { state: "admitted", outcome, now });
	// A claim that was held has had its use counted when it was held.
	if (prior?.state !== "held") countUse(world, request, worker.id, now, mintId);
	// Also of a known machine that comes under another name, or at another site.
	if (old?.name !== view.name || old.siteId !== view.siteId) warnOfUnfamiliarName(world, request, view, now, mintId);
	noteAttempt(world, request, { accepted: true, outcome, reason: null, workerId: worker.id, hostId: host.id }, null, now, mintId);
	return {
		kind: "enrolled",
		workerId: worker.id,
		hostId: host.id,
		name: worker.name,
		outcome,
		apiKey: request.fresh.apiKey,
		sealedApiKey: request.fresh.sealed,
		mesh: giveMeshKey(world, request, host.id, prior?.meshKeyId ?? null),
	};
}

function replay(world: World, request: ProvenRequest, workerId: string, sealed: string | null, now: number, mintId: IdMint): EnrollResult {
	const prior = world.priors.get(pair(request.tenantId, request.enrollmentId));
	const worker = workerOf(world, request.tenantId, workerId);
	const hostId = prior?.hostId ?? worker?.hostId ?? "";
	if (sealed === null && prior !== undefined) {
		// The shared API key of a tenant is handed out again, not replaced.
		if (!request.fresh.shared && prior.credentialId !== null && !world.changes.credentials.delete(prior.credentialId))
			world.changes.replaced.add(prior.credentialId);
		addCredential(world, request, workerId, now);
		const next = {
			...prior,
			credentialId: request.fresh.credentialId,
			credentialUsed: false,
			credentialRevoked: false,
			...meshMemory(request),
		};
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
		mesh: sealed === null ? giveMeshKey(world, request, hostId, prior?.meshKeyId ?? null) : heldMesh(prior?.sealedMesh ?? null),
	};
}

/** The sealed mesh key that was given out before; null when there was none. */
function heldMesh(sealedAuthKey: string | null): FreshMeshKey | null {
	return sealedAuthKey === null ? null : { authKey: null, sealedAuthKey };
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
		const host = heldHost(world, request, worker, now);
		storeWorker(world, { ...worker, hostId: host.id }, true);
		storeHost(world, host);
		countUse(world, request, worker.id, now, mintId);
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
		remember(world, request, worker.id, workerOf(world, request.tenantId, worker.id)?.hostId ?? request.fresh.hostId, {
			state: "held",
			outcome: null,
			now,
		});
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
