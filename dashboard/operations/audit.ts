import { graphql } from "../api/graphql.ts";

export const auditQuery = graphql(`
	query Audit($search: String, $after: String) {
		auditLog(first: 50, search: $search, after: $after) {
			totalCount
			pageInfo { hasNextPage endCursor }
			nodes { id at actor action subject detail }
		}
	}
`);
