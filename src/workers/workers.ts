import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { revokeCredentials } from "../auth/store.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { deleteHostTokens } from "../keys/store.ts";
import { disownKeys } from "../mesh/key-store.ts";
import { changeState, deleteWorkerRow, lockWorker, workersByIds } from "./store.ts";
import type { WorkerState, WorkerView } from "./worker.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId">;

/**
 * Cuts a worker off: its credentials end at once, on every server, and its machine is not let in again until the worker is deleted. Its keys and
 * its node leave the mesh, as soon as that answers (H6). Safe to repeat. NOT_FOUND when there is none.
 */
export async function revokeWorker(deps: Tools, operator: OperatorPrincipal, id: string): Promise<WorkerView> {
	return settle(deps, operator, id, { action: "worker.revoked", from: ["ACTIVE", "PENDING"], to: "REVOKED", repeatable: true });
}

/** Lets a held worker in (S8): it gets its credential when it asks again. CONFLICT when it is not held for approval. */
export async function approveWorker(deps: Tools, operator: OperatorPrincipal, id: string): Promise<WorkerView> {
	return settle(deps, operator, id, { action: "worker.approved", from: ["PENDING"], to: "ACTIVE", repeatable: false });
}

/** Turns a held worker away. CONFLICT when it is not held. */
export async function rejectWorker(deps: Tools, operator: OperatorPrincipal, id: string): Promise<WorkerView> {
	return settle(deps, operator, id, { action: "worker.rejected", from: ["PENDING"], to: "REVOKED", repeatable: false });
}

/** Removes a worker with its host and credentials and cuts it off; its machine may enroll anew. NOT_FOUND when there is none. */
export async function deleteWorker(deps: Tools, operator: OperatorPrincipal, id: string): Promise<string> {
	const at = deps.clock.now();
	await deps.db.tx(async (tx) => {
		// A host goes with its worker, and its tokens with it; keys before workers, the order that the enrollment batch has too.
		const [worker] = await workersByIds(tx, operator.tenantId, [id]);
		if (worker?.hostId != null) await deleteHostTokens(tx, operator.tenantId, worker.hostId);
		if (!(await lockWorker(tx, operator.tenantId, id))) throw notFound("worker", id);
		const [locked] = await workersByIds(tx, operator.tenantId, [id]);
		if (locked?.hostId !== worker?.hostId)
			throw new MusterError("CONFLICT", `Cannot delete worker "${id}": it became another host's at this moment, look at it and try again`);
		const credentialIds = await revokeCredentials(tx, operator.tenantId, id, at);
		if (!(await deleteWorkerRow(tx, operator.tenantId, id))) throw notFound("worker", id);
		await record(tx, [
			{
				id: deps.mintId("audit"),
				tenantId: operator.tenantId,
				at,
				actor: operator.actor,
				action: "worker.deleted",
				subject: id,
				detail: null,
			},
		]);
		await append(tx, [{ tenantId: operator.tenantId, event: { kind: "credentials-revoked", workerId: id, credentialIds } }]);
	});
	return id;
}

interface Step {
	readonly action: string;
	readonly from: readonly WorkerState[];
	readonly to: WorkerState;
	/** Whether a worker that is there already is fine. */
	readonly repeatable: boolean;
}

async function settle(deps: Tools, operator: OperatorPrincipal, id: string, step: Step): Promise<WorkerView> {
	const { tenantId } = operator;
	const at = deps.clock.now();
	await deps.db.tx(async (tx) => {
		const [worker] = await workersByIds(tx, tenantId, [id]);
		if (worker === undefined) throw notFound("worker", id);
		if (step.action === "worker.approved" && worker.pendingReason === "COLLISION") {
			throw new MusterError("CONFLICT", `Cannot approve worker "${id}": it is held because of a collision, resolve that instead`);
		}
		if (!(await changeState(tx, tenantId, id, step.from, step.to))) {
			if (step.repeatable) return;
			throw new MusterError("CONFLICT", `Worker "${id}" is ${worker.state}, not held: nothing to do`);
		}
		const credentialIds = step.to === "REVOKED" ? await revokeCredentials(tx, tenantId, id, at) : [];
		if (step.to === "REVOKED") await disownKeys(tx, tenantId, id);
		await record(tx, [
			{ id: deps.mintId("audit"), tenantId, at, actor: operator.actor, action: step.action, subject: id, detail: { name: worker.name } },
		]);
		if (step.to === "REVOKED") await append(tx, [{ tenantId, event: { kind: "credentials-revoked", workerId: id, credentialIds } }]);
	});
	const [worker] = await workersByIds(deps.db.sql, tenantId, [id]);
	if (worker === undefined) throw notFound("worker", id);
	return worker;
}
