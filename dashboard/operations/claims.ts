import { graphql } from "../api/graphql.ts";

const claimantFields = graphql(`
	fragment Claimant on CollisionClaimant {
		name
		hostname
		sourceAddress
		claimedAt
		lastHeartbeatAt
		worker { id name online platform version method machineUid lastHeartbeatAt site { code } host { id } }
	}
`);

/** Workers that wait for an operator: for approval, or because two claim one machine. */
export const claimsQuery = graphql(
	`
		query Claims {
			workers(first: 50, state: PENDING) {
				totalCount
				nodes {
					id
					name
					hostname
					machineUid
					method
					platform
					version
					createdAt
					pendingReason
					site { code name }
					labels { key value }
					collision { incumbent { ...Claimant } claimant { ...Claimant } }
				}
			}
		}
	`,
	[claimantFields],
);

export const heldQuery = graphql(
	`query Held { workers(first: 1, state: PENDING) { totalCount } alerts(first: 1, open: true) { totalCount } }`,
);

export const approveMutation = graphql(`mutation Approve($id: ID!) { approveWorker(id: $id) { worker { id name state } } }`);

export const rejectMutation = graphql(`mutation Reject($id: ID!) { rejectWorker(id: $id) { worker { id name state } } }`);

export const settleMutation = graphql(`
	mutation Settle($workerId: ID!, $verdict: CollisionVerdict!) {
		resolveCollision(workerId: $workerId, verdict: $verdict) { worker { id name state } }
	}
`);
