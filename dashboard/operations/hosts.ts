import { graphql } from "../api/graphql.ts";

export const hostRowFields = graphql(`
	fragment HostRow on Host { id name state lastKnownState lastHeartbeatAt site { code } worker { id state version platform } }
`);

/** Rows from anywhere in the list, for what is on the screen. */
export const hostRowsQuery = graphql(
	`
		query HostRows($first: Int!, $skip: Int!, $state: HostState, $siteCode: String, $name: String) {
			hosts(first: $first, skip: $skip, state: $state, siteCode: $siteCode, name: $name) { totalCount nodes { ...HostRow } }
		}
	`,
	[hostRowFields],
);

export const siteCodesQuery = graphql(`query SiteCodes { sites(first: 200) { nodes { code name } } }`);

export const beatsSubscription = graphql(`
	subscription Beats($workerIds: [ID!]) { heartbeat(workerIds: $workerIds) { workerId at load1 memoryUsedBytes uptimeSeconds } }
`);
