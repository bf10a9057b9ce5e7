import { includesRole } from "../auth/authorize.ts";
import { countWebhooks, pageOfWebhooks, recentDeliveries, webhooksByIds } from "../webhooks/store.ts";
import { type DeliveryRecord, deliveryStates, type WebhookRecord } from "../webhooks/webhook.ts";
import { createWebhook, deleteWebhook, testWebhook } from "../webhooks/webhooks.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { connection, pageComplexity } from "./page.ts";
import { DeletedPayload } from "./worker.ts";

const recentMax = 20;

const DeliveryStateEnum = builder.enumType("WebhookDeliveryState", {
	description: "PENDING: to be sent, or sent again at `nextAttemptAt`. FAILED: given up.",
	values: deliveryStates,
});

const DeliveryType = builder.objectRef<DeliveryRecord>("WebhookDelivery").implement({
	description: "One message on its way to a webhook.",
	fields: (t) => ({
		id: t.exposeID("id", { description: "The message's `webhook-id`, the same at every attempt." }),
		type: t.exposeString("type", { description: "alert.raised or alert.test." }),
		state: t.expose("state", { type: DeliveryStateEnum }),
		attempts: t.exposeInt("attempts"),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		nextAttemptAt: t.expose("nextAttemptAt", {
			type: "DateTime",
			nullable: true,
			description: "While an attempt is under way: when it would count as lost.",
		}),
		lastStatus: t.exposeInt("lastStatus", { nullable: true, description: "The HTTP status of the last attempt that was answered." }),
		lastError: t.exposeString("lastError", { nullable: true }),
	}),
});

const WebhookRef = builder.loadableNodeRef("Webhook", {
	id: { resolve: (webhook: WebhookRecord) => webhook.id },
	load: async (ids: string[], ctx) =>
		aligned(ids, await webhooksByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (webhook) => webhook.id),
});

WebhookRef.implement({
	description: "A place where alerts are sent, signed as Standard Webhooks says (https://www.standardwebhooks.com).",
	fields: (t) => ({
		url: t.string({
			description: "To those below the role admin without its path, which may hold a token.",
			resolve: ({ url }, _, ctx) => (includesRole(ctx.as("viewer").role, "admin") ? url : `${new URL(url).origin}/…`),
		}),
		kinds: t.exposeStringList("kinds", { nullable: true, description: "The kinds of alert it gets; null: all." }),
		description: t.exposeString("description", { nullable: true }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		disabledAt: t.expose("disabledAt", {
			type: "DateTime",
			nullable: true,
			description: "Since when nothing is sent: its receiver answered 410 Gone.",
		}),
		lastDeliveredAt: t.expose("lastDeliveredAt", { type: "DateTime", nullable: true }),
		lastError: t.exposeString("lastError", { nullable: true, description: "Why the last attempt failed; null when it did not." }),
		pendingCount: t.exposeInt("pendingCount", { description: "Deliveries that are yet to be made." }),
		failingCount: t.exposeInt("failingCount", { description: "Those of them that have failed before and are tried again." }),
		recentDeliveries: t.loadableList({
			type: DeliveryType,
			description: `The newest ${recentMax}, newest first. Those that ended are kept for two weeks.`,
			complexity: { field: 1, multiplier: recentMax },
			load: async (ids: string[], ctx) => {
				const found = await recentDeliveries(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids, recentMax);
				return ids.map((id) => found.filter((delivery) => delivery.webhookId === id));
			},
			resolve: (webhook) => webhook.id,
		}),
	}),
});

builder.queryField("webhooks", (t) =>
	t.connection(
		{
			type: WebhookRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				return connection(
					args,
					(webhook: WebhookRecord) => webhook.id,
					(page) => pageOfWebhooks(sql, tenantId, page),
					() => countWebhooks(sql, tenantId),
				);
			},
		},
		{ name: "WebhookConnection" },
		{ name: "WebhookEdge" },
	),
);

const CreateWebhookInput = builder.inputType("CreateWebhookInput", {
	fields: (t) => ({
		url: t.string({ required: true, description: "http or https. Redirects are not followed." }),
		kinds: t.stringList({ description: "The kinds of alert it gets; null: all." }),
		description: t.string(),
	}),
});

const CreateWebhookPayload = builder.objectRef<{ secret: string; webhook: WebhookRecord }>("CreateWebhookPayload").implement({
	fields: (t) => ({
		secret: t.exposeString("secret", { description: "Signs its messages (`whsec_…`). Shown only here." }),
		webhook: t.field({ type: WebhookRef, resolve: ({ webhook }) => webhook }),
	}),
});

const TestWebhookPayload = builder.objectRef<{ webhook: WebhookRecord; delivery: DeliveryRecord }>("TestWebhookPayload").implement({
	fields: (t) => ({
		webhook: t.field({ type: WebhookRef, resolve: ({ webhook }) => webhook }),
		delivery: t.field({ type: DeliveryType, resolve: ({ delivery }) => delivery }),
	}),
});

builder.mutationFields((t) => ({
	createWebhook: t.field({
		type: CreateWebhookPayload,
		description: "Sends alerts to a URL from now on. Role: admin.",
		args: { input: t.arg({ type: CreateWebhookInput, required: true }) },
		resolve: (_, { input }, ctx) => createWebhook(ctx.deps, ctx.as("admin"), input),
	}),
	deleteWebhook: t.field({
		type: DeletedPayload,
		description: "Removes a webhook with what waits for it. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ deletedId: await deleteWebhook(ctx.deps, ctx.as("admin"), id) }),
	}),
	testWebhook: t.field({
		type: TestWebhookPayload,
		description: "Sends a message of type alert.test, the way alerts go. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: (_, { id }, ctx) => testWebhook(ctx.deps, ctx.as("admin"), id),
	}),
}));
