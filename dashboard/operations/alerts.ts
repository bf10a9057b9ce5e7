import { graphql } from "../api/graphql.ts";

const alertFields = graphql(`
	fragment AlertRow on Alert { id at kind severity message acknowledgedAt host { id name } site { code } worker { id name } }
`);

export const alertsQuery = graphql(
	`
		query Alerts($open: Boolean, $after: String) {
			alerts(first: 50, open: $open, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { ...AlertRow } }
		}
	`,
	[alertFields],
);

export const alertSubscription = graphql(`subscription AlertsLive { alert { id kind } }`);

export const acknowledgeMutation = graphql(`mutation Acknowledge($id: ID!) { acknowledgeAlert(id: $id) { alert { id acknowledgedAt } } }`);
