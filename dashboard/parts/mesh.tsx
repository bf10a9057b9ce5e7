/** What the mesh knows of machines, beside what their workers say. */
import { useEvery, useQuery } from "../api/hooks.ts";
import { type MeshNode, meshPlaces } from "../lib/words.ts";
import { hostNodesQuery, meshQuery } from "../operations/mesh.ts";
import { Ago, Facts, Panel, Problem } from "./bits.tsx";

/** Whether the mesh sees a node; of one that it does not list it says nothing. */
export function OnMesh({ node }: { readonly node: Pick<MeshNode, "place" | "online"> }) {
	if (node.place === "REPORTED_ONLY") return <span class="quiet">not listed</span>;
	return (
		<span>
			<span class={`dot ${node.online === true ? "up" : "down"}`} aria-hidden="true" />
			{node.online === true ? "online" : "offline"}
		</span>
	);
}

/** A host's place on the mesh; nothing on a server without one, nor for a host that nobody saw there. */
export function HostMesh({ hostId }: { readonly hostId: string }) {
	const { data, error, reload } = useQuery(hostNodesQuery, { id: hostId });
	const mesh = useQuery(meshQuery, {});
	useEvery(15_000, reload);
	const nodes = data?.meshNodes.nodes ?? [];
	if (nodes.length === 0 && mesh.data?.mesh == null) return null;
	return (
		<Panel title="Mesh" note={mesh.data?.mesh?.provider} class="mesh">
			<Problem error={error} />
			{data !== undefined && nodes.length === 0 ? (
				<p class="quiet">It is no member: its worker did not join, or joined nothing yet.</p>
			) : null}
			{nodes.map((node) => (
				<NodeFacts key={node.nodeId ?? node.name} node={node} />
			))}
		</Panel>
	);
}

function NodeFacts({ node }: { readonly node: MeshNode }) {
	const facts = [
		["Node", node.name],
		["Seen", <OnMesh key="seen" node={node} />],
		["Last seen", node.place === "REPORTED_ONLY" ? null : <Ago key="last" at={node.lastSeenAt} />],
		["Addresses", node.addresses.join(" ")],
		["Worker says", node.reportedState],
		["Its addresses", node.addressesDiffer || node.place === "REPORTED_ONLY" ? node.reportedAddresses.join(" ") : null],
		["Known to", node.place === "BOTH" ? null : meshPlaces[node.place]],
	] as const;
	return <Facts of={facts} />;
}
