/** What the tests of webhooks say to a server's API. */
import type { Role } from "../../../src/auth/principal.ts";
import { mintAdminToken } from "../../../src/auth/tokens.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { Secret } from "../../../src/lib/secret.ts";
import { enroll, newSite } from "../../api/support.ts";
import { asAdmin, graphql, type Muster } from "../../support/muster.ts";
import { enrollInput, hex } from "../../support/pipeline.ts";
import { until } from "../../support/until.ts";

// The secret that tests/support/muster.ts gives to every server.
const jwtSecret = new Secret("a secret of the tests, forty characters.");

/** A token of a tenant's operator. */
export function tokenFor(role: Role, tenant = "default"): Promise<string> {
	return mintAdminToken(jwtSecret, systemClock, { tenant, role, subject: `${role} of ${tenant}`, hours: 1 });
}

/** One request with a token; errors are part of the reply. */
export function ask(server: Muster, token: string, query: string, variables: object = {}) {
	return graphql(server, query, variables, { authorization: `Bearer ${token}` });
}

/** Servers of one database that open each other's sealed secrets need one master key. */
export const masterKey = { MUSTER_MASTER_KEY: Buffer.alloc(32, 9).toString("base64") };
export const allowed = { ...masterKey, MUSTER_WEBHOOK_PRIVATE_ADDRESSES: "on" };

export const createMutation = `mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) {
	secret webhook { id url kinds description createdAt disabledAt lastDeliveredAt lastError pendingCount failingCount recentDeliveries { id } } } }`;
export const testMutation = "mutation ($id: ID!) { testWebhook(id: $id) { delivery { id state type } webhook { id pendingCount } } }";
export const deleteMutation = "mutation ($id: ID!) { deleteWebhook(id: $id) { deletedId } }";
export const webhookQuery = `query ($id: ID!) { node(id: $id) { ... on Webhook { id url disabledAt lastDeliveredAt lastError pendingCount failingCount
	recentDeliveries { id type state attempts lastStatus lastError nextAttemptAt } } } }`;

/** A new webhook of the default tenant. */
export async function create(server: Muster, url: string, more: object = {}): Promise<{ readonly id: string; readonly secret: string }> {
	const { createWebhook } = await asAdmin(server, createMutation, { input: { url, ...more } });
	return { id: createWebhook.webhook.id, secret: createWebhook.secret };
}

/** Makes something happen that an operator should look at. */
export async function raiseAlert(server: Muster): Promise<void> {
	const site = await newSite(server);
	const requestedId = `mine-${hex(5)}`;
	for (const _ of [1, 2]) await enroll(server, enrollInput({ ...site, requestedId }));
}

/** A webhook as its tenant sees it; null when there is none. */
export async function show(server: Muster, id: string) {
	return (await asAdmin(server, webhookQuery, { id })).node;
}

/** Waits until the newest delivery is in this state, and returns the webhook. */
export function newestIs(server: Muster, id: string, state: string) {
	return until(`the newest delivery is ${state}`, async () => {
		const webhook = await show(server, id);
		// Read once more: the parts of one reply are read one by one, and the attempt may have been recorded between two of them.
		return webhook.recentDeliveries[0]?.state === state && (await show(server, id));
	});
}

/** Waits until the newest delivery was answered with this status, and returns the webhook. */
export function answeredWith(server: Muster, id: string, status: number) {
	return until(`the newest delivery was answered ${status}`, async () => {
		const webhook = await show(server, id);
		return webhook.recentDeliveries[0]?.lastStatus === status && (await show(server, id));
	});
}
