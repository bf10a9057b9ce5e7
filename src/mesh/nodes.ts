import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { type JoinedNode, joinNodes, placeOf } from "./join.ts";
import { keysByRemote } from "./key-store.ts";
import { MeshFault, type MeshNode, type RealMesh } from "./port.ts";
import { isOnlyTenant, reportsOf } from "./report-store.ts";
import { isSameKey } from "./same-key.ts";

/**
 * The nodes of a tenant: as the mesh lists them, beside what its workers report (H17). A node that no key of ours let in belongs to the only tenant
 * there is; of several to none, so that no tenant sees another's machines (S10). SERVICE_UNAVAILABLE when the mesh does not answer.
 */
export async function nodesOf(deps: Pick<Deps, "db" | "mesh">, tenantId: string): Promise<JoinedNode[]> {
	const { sql } = deps.db;
	const nodes = deps.mesh.provider === "none" ? [] : await listed(deps.mesh);
	const seen = new Map(nodes.flatMap(({ key }) => (key === null ? [] : [[key.id, key]])));
	const [reports, ours, isOnly] = await Promise.all([
		reportsOf(sql, tenantId),
		seen.size === 0 ? [] : keysByRemote(sql, tenantId, [...seen.keys()]),
		isOnlyTenant(sql, tenantId),
	]);
	const hostOfKey = new Map<string, string>();
	for (const key of ours) {
		const shown = seen.get(key.remoteId ?? "");
		// An id that a former database of the mesh gave is another's now.
		if (shown !== undefined && isSameKey(key, shown) && !hostOfKey.has(shown.id)) hostOfKey.set(shown.id, key.hostId);
	}
	const its = isOnly ? nodes : nodes.filter(({ key }) => key !== null && hostOfKey.has(key.id));
	return joinNodes(its, reports, hostOfKey, isOnly);
}

/** Which part of the list: places of its order, not opaque cursors. */
export interface NodePage {
	readonly after?: string;
	readonly before?: string;
	readonly limit: number;
	readonly backward: boolean;
}

/** One page of a joined list, in its order; `backward` walks from the other end. Pure. */
export function pageOfNodes(nodes: readonly JoinedNode[], { after, before, limit, backward }: NodePage): JoinedNode[] {
	const within = nodes.filter((node) => (after === undefined || placeOf(node) > after) && (before === undefined || placeOf(node) < before));
	return backward ? within.slice(-limit).reverse() : within.slice(0, limit);
}

async function listed(mesh: RealMesh): Promise<readonly MeshNode[]> {
	try {
		return await mesh.nodes();
	} catch (error) {
		if (!(error instanceof MeshFault)) throw error;
		throw new MusterError("SERVICE_UNAVAILABLE", `Cannot list the mesh's nodes: ${error.message}`, { cause: error });
	}
}
