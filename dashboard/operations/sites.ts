import { graphql } from "../api/graphql.ts";

const keyFields = graphql(`
	fragment Key on SiteKey { id version fingerprint createdAt lastUsedAt graceEndsAt uses }
`);

export const sitesQuery = graphql(
	`
		query Sites {
			sites(first: 100) {
				totalCount
				nodes { id code name enrollmentPolicy createdAt key { ...Key } formerKeys { ...Key } fleets { id name } }
			}
		}
	`,
	[keyFields],
);

export const enrollmentKeysQuery = graphql(`
	query EnrollmentKeys {
		enrollmentKeys(first: 100) {
			totalCount
			nodes { id name hint uses maxUses expiresAt revokedAt lastUsedAt allowedCidrs site { code } fleet { name } lastWorker { id name } }
		}
	}
`);

/** Who came in with a key, and so who would have to be looked at when it leaked. */
export const keyWorkersQuery = graphql(`
	query KeyWorkers($keyId: ID!) {
		workers(keyId: $keyId, first: 20) { totalCount nodes { id name state online host { id } } }
	}
`);

export const createSiteMutation = graphql(
	`mutation CreateSite($input: CreateSiteInput!) { createSite(input: $input) { site { id code } } }`,
);

export const rotateMutation = graphql(`
	mutation Rotate($siteCode: String!, $graceSeconds: Int) {
		rotateSiteKey(siteCode: $siteCode, graceSeconds: $graceSeconds) { secret key { id fingerprint version } }
	}
`);

export const createKeyMutation = graphql(`
	mutation CreateKey($input: CreateEnrollmentKeyInput!) { createEnrollmentKey(input: $input) { secret key { id name hint } } }
`);

export const revokeKeyMutation = graphql(`
	mutation RevokeKey($id: ID!) { revokeEnrollmentKey(id: $id) { key { id revokedAt } } }
`);
