import { graphql } from "../api/graphql.ts";
import { attemptFields } from "./attempts.ts";

/** How many hosts there are in each state, and what waits for somebody. */
export const overviewQuery = graphql(`
	query Overview {
		pending: hosts(first: 1, state: PENDING) { totalCount }
		monitoring: hosts(first: 1, state: MONITORING) { totalCount }
		fusing: hosts(first: 1, state: FUSING) { totalCount }
		fused: hosts(first: 1, state: FUSED) { totalCount }
		degraded: hosts(first: 1, state: DEGRADED) { totalCount }
		held: workers(first: 1, state: PENDING) { totalCount }
		sites(first: 1) { totalCount }
		alerts(first: 6, open: true) { totalCount nodes { id kind severity message at host { id name } } }
	}
`);

/** The last enroll attempts of all. */
export const attemptsQuery = graphql(
	`
		query Attempts($first: Int!, $reason: RejectionReason) {
			enrollmentAttempts(first: $first, reason: $reason) { nodes { ...Attempt } }
		}
	`,
	[attemptFields],
);

export const attemptSubscription = graphql(
	`
		subscription AttemptsLive { enrollmentAttempt { ...Attempt } }
	`,
	[attemptFields],
);

/** Only counted: nothing of it is shown. */
export const pulseSubscription = graphql(`subscription Pulse { heartbeat { at } }`);

export const hostChangedSubscription = graphql(`subscription HostsLive { hostChanged { id name state lastKnownState } }`);
