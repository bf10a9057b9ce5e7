import type { MeshNode } from "./port.ts";
import type { HostReport } from "./report-store.ts";

export const meshNodePlaces = ["BOTH", "MESH_ONLY", "REPORTED_ONLY"] as const;
/** Who knows of a node. */
export type MeshNodePlace = (typeof meshNodePlaces)[number];

/** A node as the mesh lists it, and as the worker of its host reports it (H17). */
export interface JoinedNode {
	readonly place: MeshNodePlace;
	readonly listed: MeshNode | undefined;
	readonly reported: HostReport | undefined;
	/** The host of it; null for a node that no host of ours joined as. */
	readonly hostId: string | null;
	/** Both sides know of it, and name other addresses. */
	readonly addressesDiffer: boolean;
}

/**
 * Puts what the mesh lists beside what workers report. A node belongs to the host whose key it joined with; of the rest, when `guess` is set, to
 * the worker that says its name, else to one that says one of its addresses: each node and each report is used once. Pure; sorted by name and id.
 */
export function joinNodes(
	nodes: readonly MeshNode[],
	reports: readonly HostReport[],
	hostOfKey: ReadonlyMap<string, string>,
	guess: boolean,
): JoinedNode[] {
	const left = new Map(reports.map((report) => [report.hostId, report]));
	const partner = new Map<MeshNode, HostReport>();
	const pair = (node: MeshNode, report: HostReport | undefined) => {
		if (report === undefined || partner.has(node)) return;
		partner.set(node, report);
		left.delete(report.hostId);
	};
	const keyed = (node: MeshNode) => (node.key === null ? undefined : hostOfKey.get(node.key.id));
	// A machine that joined anew may be there twice: the one that is online is it.
	const byLife = [...nodes].sort(
		(one, other) => Number(other.online) - Number(one.online) || (other.lastSeenAt ?? 0) - (one.lastSeenAt ?? 0),
	);
	for (const node of byLife) pair(node, left.get(keyed(node) ?? ""));
	if (guess) {
		const loose = byLife.filter((node) => keyed(node) === undefined);
		for (const node of loose)
			pair(
				node,
				[...left.values()].find(({ nodeName }) => nodeName === node.name),
			);
		for (const node of loose)
			pair(
				node,
				[...left.values()].find(({ addresses }) => addresses.some((one) => node.addresses.includes(one))),
			);
	}
	const listed = nodes.map((node): JoinedNode => {
		const reported = partner.get(node);
		return {
			place: reported === undefined ? "MESH_ONLY" : "BOTH",
			listed: node,
			reported,
			hostId: reported?.hostId ?? keyed(node) ?? null,
			addressesDiffer: reported !== undefined && !sameSet(node.addresses, reported.addresses),
		};
	});
	const alone = [...left.values()].map(
		(reported): JoinedNode => ({ place: "REPORTED_ONLY", listed: undefined, reported, hostId: reported.hostId, addressesDiffer: false }),
	);
	return [...listed, ...alone].sort((one, other) => (placeOf(one) < placeOf(other) ? -1 : 1));
}

/** Where a node stands in the list: by name, and then by what nothing else has. */
export function placeOf({ listed, reported }: JoinedNode): string {
	return `${listed?.name ?? reported?.nodeName ?? reported?.hostName ?? ""}\n${listed === undefined ? `host ${reported?.hostId}` : `node ${listed.id}`}`;
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
	return left.length === right.length && left.every((one) => right.includes(one));
}
