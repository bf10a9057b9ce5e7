import type { TenantRecord } from "../sites/site.ts";
import { configureTenant, tenantOf } from "../sites/tenants.ts";
import { builder } from "./builder.ts";

const TenantType = builder.objectRef<TenantRecord>("Tenant").implement({
	description: "Who owns sites.",
	fields: (t) => ({
		id: t.exposeID("id"),
		slug: t.exposeString("slug", { description: "How workers name it: MUSTER_TENANT." }),
		workerNamePattern: t.exposeString("workerNamePattern", {
			nullable: true,
			description: "A regular expression for the names of workers whose site has none of its own. Others raise UNFAMILIAR_WORKER.",
		}),
		takesHostTokens: t.boolean({
			description: "Whether a host's token lets its worker in: the server has MUSTER_SHARED_SECRET.",
			resolve: (_, __, ctx) => ctx.deps.settings.sharedSecret !== null,
		}),
	}),
});

builder.queryField("tenant", (t) =>
	t.field({ type: TenantType, description: "One's own. Role: viewer.", resolve: (_, __, ctx) => tenantOf(ctx.deps, ctx.as("viewer")) }),
);

const ConfigureTenantInput = builder.inputType("ConfigureTenantInput", {
	fields: (t) => ({ workerNamePattern: t.string({ description: "Null: any name will do." }) }),
});
const TenantPayload = builder
	.objectRef<{ tenant: TenantRecord }>("TenantPayload")
	.implement({ fields: (t) => ({ tenant: t.field({ type: TenantType, resolve: ({ tenant }) => tenant }) }) });

builder.mutationField("configureTenant", (t) =>
	t.field({
		type: TenantPayload,
		description: "Role: admin.",
		args: { input: t.arg({ type: ConfigureTenantInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ tenant: await configureTenant(ctx.deps, ctx.as("admin"), input) }),
	}),
);
