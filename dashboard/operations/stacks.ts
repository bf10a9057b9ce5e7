import { graphql } from "../api/graphql.ts";

export const stacksQuery = graphql(`
	query Stacks($id: ID!) {
		host(id: $id) {
			stacks {
				id name state error revision updatedAt updatedBy
				services { name image replicas running }
				lastCommand { id kind state }
			}
		}
	}
`);

/** Asked for only where it is edited: it may hold secrets. */
export const composeQuery = graphql(`query Compose($id: ID!) { stack(id: $id) { compose variables } }`);

export const deployStackMutation = graphql(`
	mutation DeployStack($input: DeployStackInput!) { deployStack(input: $input) { stack { id } command { id } } }
`);

export const redeployStackMutation = graphql(`
	mutation RedeployStack($input: RedeployStackInput!) { redeployStack(input: $input) { stack { id } command { id } } }
`);

export const scaleStackMutation = graphql(`
	mutation ScaleStack($input: ScaleStackInput!) { scaleStack(input: $input) { stack { id } command { id } } }
`);

export const removeStackMutation = graphql(`
	mutation RemoveStack($input: RemoveStackInput!) { removeStack(input: $input) { stack { id } command { id } } }
`);
