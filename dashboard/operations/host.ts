import { graphql } from "../api/graphql.ts";
import { attemptFields } from "./attempts.ts";

const vitalsFields = graphql(`fragment Figures on Vitals { at load1 memoryUsedBytes uptimeSeconds }`);

export const hostQuery = graphql(
	`
		query Host($id: ID!) {
			host(id: $id) {
				id
				name
				state
				lastKnownState
				lastHeartbeatAt
				meshAddress
				fuseProvider
				fusion { provider step startedAt deadlineAt endedAt outcome failureSource failureMessage lastError }
				tokenExpiresAt
				site { code name }
				vitals { ...Figures }
				history { ...Figures }
				recentAttempts(first: 12) { ...Attempt }
				worker { id name hostname machineUid method platform version state online createdAt fleet { name } labels { key value } }
			}
		}
	`,
	[vitalsFields, attemptFields],
);

/** What the page "Add a host" waits for. */
export const arrivalQuery = graphql(
	`
		query Arrival($id: ID!) { host(id: $id) { id name state tokenExpiresAt recentAttempts(first: 20) { ...Attempt } } }
	`,
	[attemptFields],
);

/** The same for a host that comes with an enrollment key: it has no record before. */
export const keyArrivalQuery = graphql(
	`
		query KeyArrival($keyId: ID!, $siteCode: String) {
			workers(keyId: $keyId, first: 1) { nodes { id name state host { id name state } } }
			enrollmentAttempts(siteCode: $siteCode, first: 30) { nodes { ...Attempt } }
		}
	`,
	[attemptFields],
);

/** Which lines can be made here. */
export const waysInQuery = graphql(`
	query WaysIn { tenant { takesHostTokens } sites(first: 200) { nodes { code name enrollmentPolicy } } }
`);

export const keyLineMutation = graphql(`
	mutation KeyLine($input: CreateEnrollmentKeyInput!, $format: SnippetFormat) {
		createEnrollmentKey(input: $input, format: $format) { snippet key { id } }
	}
`);

export const oneHostSubscription = graphql(`
	subscription HostLive($ids: [ID!]) { hostChanged(hostIds: $ids) { id state lastKnownState } }
`);

export const createHostMutation = graphql(`
	mutation CreateHost($input: CreateHostInput!, $format: SnippetFormat) {
		createHost(input: $input, format: $format) { host { id name } snippet }
	}
`);

export const regenerateMutation = graphql(`
	mutation Regenerate($id: ID!, $format: SnippetFormat) {
		regenerateHostToken(id: $id, format: $format) { host { id tokenExpiresAt } snippet }
	}
`);

export const deleteHostMutation = graphql(`mutation DeleteHost($id: ID!) { deleteHost(id: $id) { deletedId } }`);

export const revokeWorkerMutation = graphql(`mutation RevokeWorker($id: ID!) { revokeWorker(id: $id) { worker { id state } } }`);
