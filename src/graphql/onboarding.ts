import { createHost, deleteHost, type OnboardedHost, regenerateHostToken } from "../hosts/onboarding.ts";
import { builder } from "./builder.ts";
import { SnippetFormatEnum } from "./enums.ts";
import { HostRef } from "./refs.ts";
import { DeletedPayload } from "./worker.ts";

const CreateHostInput = builder.inputType("CreateHostInput", {
	fields: (t) => ({
		name: t.string({ required: true, description: "The node name that the worker must have." }),
		siteCode: t.string(),
	}),
});
const CreateHostPayload = builder.objectRef<OnboardedHost>("CreateHostPayload").implement({
	fields: (t) => ({
		host: t.field({ type: HostRef, resolve: ({ host }) => host }),
		secret: t.exposeString("secret", { description: "The one-shot token. Shown here and never again." }),
		snippet: t.exposeString("snippet", { description: "Installs the worker, every field filled in. Holds the token." }),
	}),
});

builder.mutationFields((t) => ({
	createHost: t.field({
		type: CreateHostPayload,
		description: "Makes a host that waits for its worker, with a token of one use and 24 hours. Role: admin.",
		args: { input: t.arg({ type: CreateHostInput, required: true }), format: t.arg({ type: SnippetFormatEnum }) },
		resolve: (_, { input, format }, ctx) => createHost(ctx.deps, ctx.as("admin"), { ...input, format }),
	}),
	regenerateHostToken: t.field({
		type: CreateHostPayload,
		description: "Ends the host's unused tokens and gives it a new one. Role: admin.",
		args: { id: t.arg.id({ required: true }), format: t.arg({ type: SnippetFormatEnum }) },
		resolve: (_, args, ctx) => regenerateHostToken(ctx.deps, ctx.as("admin"), args),
	}),
	deleteHost: t.field({
		type: DeletedPayload,
		description: "Removes a host with its worker and cuts that off. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ deletedId: await deleteHost(ctx.deps, ctx.as("admin"), id) }),
	}),
}));
