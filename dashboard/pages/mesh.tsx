import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { useMore } from "../api/more.tsx";
import { whole } from "../lib/figures.ts";
import { href } from "../lib/route.ts";
import { type MeshNode, meshPlaces } from "../lib/words.ts";
import { alertSubscription } from "../operations/alerts.ts";
import { meshNodesQuery, meshQuery } from "../operations/mesh.ts";
import { Ago, Choice, Empty, Head, Panel, Problem } from "../parts/bits.tsx";
import { OnMesh } from "../parts/mesh.tsx";
import { TableHead } from "../parts/table.tsx";

type Provider = ResultOf<typeof meshQuery>["mesh"];

/** The mesh that hosts are on: whether it answers, and its nodes as both sides see them. */
export function Mesh() {
	const mesh = useQuery(meshQuery, {});
	const { data, error, reload } = useQuery(meshNodesQuery, {});
	const more = useMore(data?.meshNodes, async (after) => (await send(meshNodesQuery, { after })).meshNodes);
	const [show, setShow] = useState<"all" | "odd">("all");
	const soon = useCalm(() => {
		mesh.reload();
		reload();
	});
	useLive(alertSubscription, {}, soon);
	// Nodes come and go without an event.
	useEvery(15_000, soon);
	const odd = more.nodes.filter(isOdd);
	const nodes = show === "odd" ? odd : more.nodes;
	const total = data?.meshNodes.totalCount ?? 0;
	return (
		<>
			<Head title="Mesh" note={data === undefined ? undefined : `${whole(total)} ${total === 1 ? "node" : "nodes"}`}>
				{total === 0 ? null : (
					<Choice
						label="Which"
						of={[
							["all", "All"],
							["odd", `To look at (${odd.length})`],
						]}
						value={show}
						choose={setShow}
					/>
				)}
			</Head>
			<Problem error={mesh.error} />
			{mesh.data === undefined ? null : <State mesh={mesh.data.mesh} />}
			<Problem error={error} />
			{data === undefined || (total === 0 && mesh.data?.mesh == null) ? null : nodes.length === 0 ? (
				<Empty title={total === 0 ? "Nobody is on it yet" : "Both sides agree about every node"}>
					{total === 0 ? (
						<>
							A host joins when it comes in with its own token: <a href={href(["hosts", "add"])}>add one</a>.
						</>
					) : null}
				</Empty>
			) : (
				<Panel title="Nodes" note="by name">
					<Nodes list={nodes} />
				</Panel>
			)}
			{more.button}
		</>
	);
}

/** An orphan, a worker that the mesh does not know, or two that name other addresses. */
function isOdd({ host, place, addressesDiffer }: MeshNode): boolean {
	return host === null || place !== "BOTH" || addressesDiffer;
}

function State({ mesh }: { readonly mesh: Provider }) {
	if (mesh === null) {
		return (
			<Empty title="No mesh is configured">
				Hosts talk to this server by the address they enrolled at, and need none. To have them join a Headscale of yours, set
				MUSTER_MESH=headscale with its address, API key and user on the server, and restart it.
			</Empty>
		);
	}
	return (
		<>
			<dl class="facts wide mesh-state">
				<div>
					<dt>Provider</dt>
					<dd>{mesh.provider}</dd>
				</div>
				<div>
					<dt>Control URL</dt>
					<dd>{mesh.controlUrl}</dd>
				</div>
				<div>
					<dt>State</dt>
					<dd>
						<span class={`dot ${mesh.answers ? "up" : "down"}`} aria-hidden="true" />
						{mesh.answers ? "it answers" : "it does not answer"}
					</dd>
				</div>
			</dl>
			{mesh.answers ? null : (
				<p class="caution" role="alert">
					{mesh.reason ?? "It did not answer when it was asked last"}. Hosts that are here go on; none comes in by its token until it
					answers.
				</p>
			)}
		</>
	);
}

function Nodes({ list }: { readonly list: readonly MeshNode[] }) {
	return (
		<div class="scroll" tabIndex={0} role="group" aria-label="Nodes">
			<table class="nodes">
				<TableHead titles={["Node", "Host", "Mesh sees it", "Last seen", "Addresses", "Its worker says"]} />
				<tbody>
					{list.map((node) => (
						<tr key={`${node.nodeId} ${node.host?.id}`}>
							<td>
								<b class="name">{node.name}</b>
							</td>
							<td>
								{node.host === null ? (
									<span class="odd">no host of ours</span>
								) : (
									<a href={href(["hosts", node.host.id])}>{node.host.name}</a>
								)}
							</td>
							<td>
								<OnMesh node={node} />
							</td>
							<td>{node.place === "REPORTED_ONLY" ? null : <Ago at={node.lastSeenAt} />}</td>
							<td class="id">{node.addresses.join(" ")}</td>
							<td>
								{node.reportedState}
								{node.addressesDiffer || node.place === "REPORTED_ONLY" ? (
									<>
										{" "}
										<span class="id odd">{node.reportedAddresses.join(" ")}</span>
									</>
								) : null}
								{node.place === "BOTH" ? null : <span class="quiet"> known to {meshPlaces[node.place]}</span>}
							</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}
