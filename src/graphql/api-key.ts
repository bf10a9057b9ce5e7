import type { ApiKeyRecord } from "../keys/api-key.ts";
import { apiKeysByIds, countApiKeys, pageOfApiKeys } from "../keys/api-key-store.ts";
import { createApiKey, revokeApiKey } from "../keys/api-keys.ts";
import { createWorker } from "../workers/create.ts";
import type { WorkerView } from "../workers/worker.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { LabelInput } from "./label.ts";
import { connection, pageComplexity } from "./page.ts";
import { WorkerRef } from "./refs.ts";

export const ApiKeyRef = builder.loadableNodeRef("ApiKey", {
	id: { resolve: (key: ApiKeyRecord) => key.id },
	load: async (ids: string[], ctx) => aligned(ids, await apiKeysByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (key) => key.id),
});

ApiKeyRef.implement({
	description: "An API key that several workers may run on. `workers(apiKeyId:)` lists them.",
	fields: (t) => ({
		name: t.exposeString("name"),
		hint: t.exposeString("hint", { description: "First four hex digits of SHA-256 of the secret." }),
		shared: t.exposeBoolean("shared", { description: "Handed out by auto-enrollment." }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		revokedAt: t.expose("revokedAt", { type: "DateTime", nullable: true }),
		lastUsedAt: t.expose("lastUsedAt", { type: "DateTime", nullable: true, description: "To the minute." }),
	}),
});

builder.queryField("apiKeys", (t) =>
	t.connection(
		{
			type: ApiKeyRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				return connection(
					args,
					(key: ApiKeyRecord) => key.id,
					(page) => pageOfApiKeys(sql, tenantId, page),
					() => countApiKeys(sql, tenantId),
				);
			},
		},
		{ name: "ApiKeyConnection" },
		{ name: "ApiKeyEdge" },
	),
);

const CreateApiKeyPayload = builder.objectRef<{ secret: string; apiKey: ApiKeyRecord }>("CreateApiKeyPayload").implement({
	fields: (t) => ({
		secret: t.exposeString("secret", { description: "The key itself. Shown here and never again." }),
		apiKey: t.field({ type: ApiKeyRef, resolve: ({ apiKey }) => apiKey }),
	}),
});
const ApiKeyPayload = builder.objectRef<{ apiKey: ApiKeyRecord }>("ApiKeyPayload").implement({
	fields: (t) => ({ apiKey: t.field({ type: ApiKeyRef, resolve: ({ apiKey }) => apiKey }) }),
});
const CreateWorkerInput = builder.inputType("CreateWorkerInput", {
	fields: (t) => ({
		name: t.string({ required: true }),
		id: t.string({ description: "An id of your own; made up when left out." }),
		apiKeyId: t.id({ description: "An API key that exists; a new one is made when left out." }),
		siteCode: t.string(),
		labels: t.field({ type: [LabelInput] }),
	}),
});
const CreateWorkerPayload = builder.objectRef<{ worker: WorkerView; secret: string | null }>("CreateWorkerPayload").implement({
	fields: (t) => ({
		worker: t.field({ type: WorkerRef, resolve: ({ worker }) => worker }),
		secret: t.exposeString("secret", { nullable: true, description: "The new API key, when one was made. Shown here and never again." }),
	}),
});

builder.mutationFields((t) => ({
	createApiKey: t.field({
		type: CreateApiKeyPayload,
		description: "Role: admin.",
		args: { name: t.arg.string({ required: true }) },
		resolve: (_, args, ctx) => createApiKey(ctx.deps, ctx.as("admin"), args),
	}),
	revokeApiKey: t.field({
		type: ApiKeyPayload,
		description: "Cuts off every worker that runs on it. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ apiKey: await revokeApiKey(ctx.deps, ctx.as("admin"), id) }),
	}),
	createWorker: t.field({
		type: CreateWorkerPayload,
		description: "Makes a worker that starts with its id and an API key and never enrolls. Role: admin.",
		args: { input: t.arg({ type: CreateWorkerInput, required: true }) },
		resolve: (_, { input }, ctx) => createWorker(ctx.deps, ctx.as("admin"), input),
	}),
}));
