import { graphql } from "../api/graphql.ts";

export const webhooksQuery = graphql(`
	query Webhooks {
		webhooks(first: 50) {
			totalCount
			nodes {
				id url description kinds createdAt disabledAt lastDeliveredAt lastError pendingCount failingCount
				recentDeliveries { id type state attempts createdAt nextAttemptAt lastStatus lastError }
			}
		}
	}
`);

export const createWebhookMutation = graphql(`
	mutation CreateWebhook($input: CreateWebhookInput!) { createWebhook(input: $input) { secret webhook { id url } } }
`);

export const deleteWebhookMutation = graphql(`mutation DeleteWebhook($id: ID!) { deleteWebhook(id: $id) { deletedId } }`);

export const testWebhookMutation = graphql(`
	mutation TestWebhook($id: ID!) { testWebhook(id: $id) { delivery { id } webhook { id } } }
`);
