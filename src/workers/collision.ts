import { absurd } from "../lib/absurd.ts";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { revokeCredentials } from "../auth/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { releaseTokenHost } from "../hosts/store.ts";
import { disownKeys } from "../mesh/key-store.ts";
import { changeState, deleteWorkerRow, giveClaims, idOfMachine, lockWorker, takeMachine, workersByIds } from "./store.ts";
import type { WorkerView } from "./worker.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random">;

/** What an operator says of a claim that was held because the machine's worker was online under another hostname (S5). */
export const collisionVerdicts = ["ADOPT", "SPLIT", "BAN"] as const;
export type CollisionVerdict = (typeof collisionVerdicts)[number];

/**
 * Settles a collision (S5). ADOPT: it is the same machine after all, the claimant goes on as the worker that has the uid. SPLIT: it is another
 * machine, the claimant becomes a worker of its own with a uid of its own. BAN: the claimant stays out for good. The waiting worker gets its
 * answer when it asks again. Returns the worker that the claimant is now. NOT_FOUND when there is no such worker, CONFLICT when it is not
 * held because of a collision; of two operators who settle one claim at once, one gets that.
 */
export async function resolveCollision(
	deps: Tools,
	operator: OperatorPrincipal,
	workerId: string,
	verdict: CollisionVerdict,
): Promise<WorkerView> {
	const { tenantId, actor } = operator;
	const at = deps.clock.now();
	const settledId = await deps.db.tx(async (tx) => {
		const [seen] = await workersByIds(tx, tenantId, [workerId]);
		if (seen === undefined) throw notFound("worker", workerId);
		// Both claimants, in the order that the enrollment batch locks workers too.
		for (const id of [workerId, seen.contestedWorkerId ?? workerId].sort()) await lockWorker(tx, tenantId, id);
		const [claimant] = await workersByIds(tx, tenantId, [workerId]);
		// It was there a moment ago: another operator had it adopted or deleted meanwhile.
		if (claimant === undefined)
			throw new MusterError("CONFLICT", `Cannot resolve the collision of worker "${workerId}": another operator settled it at this moment`);
		if (claimant.state !== "PENDING" || claimant.pendingReason !== "COLLISION") {
			throw new MusterError(
				"CONFLICT",
				`Cannot resolve the collision of worker "${workerId}": it is ${claimant.state}, not held because of one`,
			);
		}
		const settled = await settle(deps, tx, claimant, verdict, at);
		await record(tx, [
			{
				id: deps.mintId("audit"),
				tenantId,
				at,
				actor,
				action: "collision.resolved",
				subject: workerId,
				detail: { verdict, name: claimant.name, hostname: claimant.hostname, incumbent: claimant.contestedWorkerId, became: settled },
			},
		]);
		return settled;
	});
	const [worker] = await workersByIds(deps.db.sql, tenantId, [settledId]);
	if (worker === undefined) throw notFound("worker", settledId);
	return worker;
}

async function settle(deps: Tools, tx: Tx, claimant: WorkerView, verdict: CollisionVerdict, at: number): Promise<string> {
	const { tenantId, id } = claimant;
	switch (verdict) {
		case "ADOPT": {
			const incumbent = await holderOf(tx, claimant);
			// Nobody left to be adopted by: the machine is the claimant's.
			if (incumbent === undefined) return admit(tx, claimant, claimant.contestedUid ?? "");
			if (incumbent.state !== "ACTIVE") {
				throw new MusterError(
					"CONFLICT",
					`Cannot adopt worker "${id}" into "${incumbent.id}": that one is ${incumbent.state}, split or ban`,
				);
			}
			await giveClaims(tx, claimant, incumbent);
			if (claimant.hostId !== null) await releaseTokenHost(tx, tenantId, claimant.hostId);
			await deleteWorkerRow(tx, tenantId, id);
			return incumbent.id;
		}
		case "SPLIT":
			return admit(tx, claimant, `split-${Buffer.from(deps.random.bytes(16)).toString("hex")}`);
		case "BAN": {
			await changeState(tx, tenantId, id, ["PENDING"], "REVOKED");
			const credentialIds = await revokeCredentials(tx, tenantId, id, at);
			await disownKeys(tx, tenantId, id);
			await append(tx, [{ tenantId, event: { kind: "credentials-revoked", workerId: id, credentialIds } }]);
			return id;
		}
		default:
			return absurd(verdict);
	}
}

/** The worker that has the machine now, locked: the one it collided with, or one that enrolled after that was deleted. */
async function holderOf(tx: Tx, { tenantId, contestedUid }: WorkerView): Promise<WorkerView | undefined> {
	const id = contestedUid === null ? undefined : await idOfMachine(tx, tenantId, contestedUid);
	if (id === undefined || !(await lockWorker(tx, tenantId, id))) return undefined;
	return (await workersByIds(tx, tenantId, [id]))[0];
}

/** Lets the claimant in as a worker of its own, with this uid. Its host begins its life when it comes for its credential. */
async function admit(tx: Tx, { tenantId, id }: WorkerView, uid: string): Promise<string> {
	await takeMachine(tx, tenantId, id, uid);
	return id;
}
