import { graphql } from "../api/graphql.ts";

export const attemptFields = graphql(`
	fragment Attempt on EnrollmentAttempt { id at accepted claimedName method outcome reason sourceAddress }
`);
