import { graphql } from "../api/graphql.ts";

const nodeFields = graphql(`
	fragment Node on MeshNode {
		name nodeId place online lastSeenAt addresses reportedAddresses addressesDiffer reportedState reportedAt host { id name }
	}
`);

/** Answered also while the mesh is down. */
export const meshQuery = graphql(`query Mesh { mesh { provider controlUrl answers reason } }`);

export const meshNodesQuery = graphql(
	`
		query MeshNodes($after: String) {
			meshNodes(first: 100, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { ...Node } }
		}
	`,
	[nodeFields],
);

/** A machine that joined anew may be there twice. */
export const hostNodesQuery = graphql(`query HostNodes($id: ID!) { meshNodes(first: 5, hostId: $id) { nodes { ...Node } } }`, [nodeFields]);
