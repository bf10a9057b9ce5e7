/**
 * Ends the keys that nobody holds and removes the nodes of hosts that are gone, in every server process. What is to do stands in the database
 * (mesh_keys), so a mesh that is down, or a server that dies, only delays it. `stepAfter` decides, `reapKeys` acts.
 */
import type { Deps } from "../deps.ts";
import { claimDue, claimEnded, type ClaimedKey, forgetEnded, type KeyStep, recordStep } from "./key-store.ts";
import { MeshFault, type MeshNode, type RealMesh } from "./port.ts";
import { isSameKey } from "./same-key.ts";

/** What the mesh said of one claimed key; undefined: it did not answer. */
export interface Seen {
	/** Whether nobody can use it any more. */
	readonly ended: boolean | undefined;
	/** How many nodes had joined with it and were removed; asked only when its host is gone. */
	readonly removed: number | undefined;
}

/** Keys seen to in one step. */
const stepMax = 50;
/** Longer than a step may take with a mesh that answers slowly. */
const leaseSeconds = 60;
/** A key is dead by itself after its expiration; the minute is for clocks that differ. */
const deadAfterMs = 60_000;
const againMsMax = 60_000;

/** What is to be done next about a claimed key. Pure. */
export function stepAfter(key: ClaimedKey, seen: Seen, now: number): KeyStep {
	const later: KeyStep = { kind: "again", afterMs: Math.min(againMsMax, 1_000 * 2 ** Math.min(key.attempts, 6)) };
	const isDead = key.ended || seen.ended === true || now > Date.parse(key.expiration) + deadAfterMs;
	if (!isDead) return later;
	if (!key.wasHeld) return { kind: "forget" };
	if (!key.hostGone) return { kind: "ended" };
	if (seen.removed === undefined) return later;
	if (seen.removed > 0) return { kind: "again", afterMs: 1_000 };
	// A machine may have shown the key a moment before it was ended, and be listed a moment later: looked at once more after it is known to be ended.
	return key.ended ? { kind: "forget" } : { kind: "ended" };
}

/** One bounded step; several servers may do it at once. Returns how many keys it looked at. */
export async function reapKeys(deps: Pick<Deps, "db" | "clock" | "log">, mesh: RealMesh): Promise<number> {
	const keys = await claimDue(deps.db.sql, stepMax, leaseSeconds);
	if (keys.length === 0) return 0;
	const ended = await endAll(deps, mesh, keys);
	const gone = keys.some(({ hostGone, wasHeld }) => hostGone && wasHeld);
	const nodes = gone ? await heard(deps, () => mesh.nodes()) : undefined;
	for (const [index, key] of keys.entries()) {
		const removed = key.hostGone && key.wasHeld && nodes !== undefined ? await removeNodes(deps, mesh, key, nodes) : undefined;
		const step = stepAfter(key, { ended: ended[index], removed }, deps.clock.now());
		await recordStep(deps.db.sql, key, step);
		deps.log.info("mesh.key_reaped", { meshKeyId: key.id, step: step.kind, removed });
	}
	return keys.length;
}

/** How long an ended key of a living host is kept at least: a machine may have joined with it a moment before. */
const endedSeconds = 30 * 86_400;
const endedMax = 500;

/**
 * Forgets keys that ended long ago and that no node joined with, in one bounded step: those of the others are kept, for by them their nodes are
 * found when the host goes. Nothing is forgotten while the mesh is away. Returns how many it looked at; several servers may do it at once.
 */
export async function forgetEndedKeys(deps: Pick<Deps, "db" | "log">, mesh: RealMesh): Promise<number> {
	const nodes = await heard(deps, () => mesh.nodes());
	if (nodes === undefined) return 0;
	const keys = await claimEnded(deps.db.sql, endedSeconds, endedMax);
	const left = keys.filter((key) => !nodes.some((node) => node.key !== null && isSameKey(key, node.key)));
	await forgetEnded(
		deps.db.sql,
		left.map(({ id }) => id),
	);
	return keys.length;
}

/** Ends all at once; when one is refused, each alone, so that it stops no other. */
async function endAll(deps: Pick<Deps, "log">, mesh: RealMesh, keys: readonly ClaimedKey[]): Promise<readonly (boolean | undefined)[]> {
	try {
		return await mesh.expire(keys);
	} catch (error) {
		if (!(error instanceof MeshFault)) throw error;
		deps.log.warn("mesh.expire_failed", { count: keys.length, error });
		if (error.kind !== "refused" || keys.length === 1) return keys.map(() => undefined);
		const each = [];
		for (const key of keys) each.push(...(await endAll(deps, mesh, [key])));
		return each;
	}
}

async function removeNodes(
	deps: Pick<Deps, "log">,
	mesh: RealMesh,
	key: ClaimedKey,
	nodes: readonly MeshNode[],
): Promise<number | undefined> {
	const its = nodes.filter((node) => node.key !== null && isSameKey(key, node.key));
	for (const { id } of its) {
		if ((await heard(deps, () => mesh.removeNode(id).then(() => true))) === undefined) return undefined;
	}
	return its.length;
}

/** What the mesh says; undefined when it does not. */
async function heard<T>({ log }: Pick<Deps, "log">, ask: () => Promise<T>): Promise<T | undefined> {
	try {
		return await ask();
	} catch (error) {
		if (!(error instanceof MeshFault)) throw error;
		log.warn("mesh.call_failed", { error });
		return undefined;
	}
}
