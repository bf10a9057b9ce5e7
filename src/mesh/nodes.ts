import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { type JoinedNode, joinNodes, placeOf } from "./join.ts";
import { hostsOfKeys } from "./key-store.ts";
import { MeshFault, type MeshNode, type RealMesh } from "./port.ts";
import { isOnlyTenant, reportsOf } from "./report-store.ts";

/**
 * The nodes of a tenant: as the mesh lists them, beside what its workers report (H17). A node that no key of ours let in belongs to the only tenant
 * there is; of several to none, so that no tenant sees another's machines (S10). SERVICE_UNAVAILABLE when the mesh does not answer.
 */
export async function nodesOf(deps: Pick<Deps, "db" | "mesh">, tenantId: string): Promise<JoinedNode[]> {
	const { sql } = deps.db;
	const nodes = deps.mesh.provider === "none" ? [] : await listed(deps.mesh);
	const keyIds = [...new Set(nodes.flatMap(({ keyId }) => keyId ?? []))];
	const [reports, hostOfKey, isOnly] = await Promise.all([
		reportsOf(sql, tenantId),
		keyIds.length === 0 ? new Map<string, string>() : hostsOfKeys(sql, tenantId, keyIds),
		isOnlyTenant(sql, tenantId),
	]);
	const its = isOnly ? nodes : nodes.filter(({ keyId }) => keyId !== null && hostOfKey.has(keyId));
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
