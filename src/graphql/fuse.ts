import { fuseFailureSources, fuseOutcomes, fuseSteps, type FusionRecord } from "../fuse/fusion.ts";
import { fuseHost, unfuseHost } from "../fuse/fuse.ts";
import { latestFusions } from "../fuse/store.ts";
import type { HostRecord } from "../hosts/host.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { FuseProviderEnum } from "./enums.ts";
import { HostRef } from "./refs.ts";

const FuseStepEnum = builder.enumType("FuseStep", {
	description:
		"By DOCKER: PROVE, GRANT. By PORTAINER: REGISTER the environment, DEPLOY the Edge agent, CHECK_IN, CONNECT. Then FUSED; REMOVE_AGENT and REMOVE_ENVIRONMENT undo; ENDED.",
	values: fuseSteps,
});
const FuseOutcomeEnum = builder.enumType("FuseOutcome", {
	description: "Why a fusion is no more. CANCELLED: unfused while it was under way.",
	values: fuseOutcomes,
});
const FuseFailureSourceEnum = builder.enumType("FuseFailureSource", {
	description: "As `muster_fuse_failed_total` counts it.",
	values: fuseFailureSources,
});

const FusionType = builder.objectRef<FusionRecord>("Fusion").implement({
	description: "A try to fuse a host: how far it is, what it pinned, and how it ended.",
	fields: (t) => ({
		id: t.exposeID("id"),
		provider: t.expose("provider", { type: FuseProviderEnum }),
		step: t.expose("step", { type: FuseStepEnum }),
		engineId: t.exposeString("engineId", { nullable: true, description: "The pinned Docker Engine." }),
		environmentId: t.exposeInt("environmentId", { nullable: true, description: "The pinned environment in Portainer." }),
		requestedBy: t.exposeString("requestedBy"),
		startedAt: t.expose("startedAt", { type: "DateTime" }),
		deadlineAt: t.expose("deadlineAt", { type: "DateTime", description: "Not fused by then, it is given up." }),
		fusedAt: t.expose("fusedAt", { type: "DateTime", nullable: true }),
		endedAt: t.expose("endedAt", { type: "DateTime", nullable: true }),
		outcome: t.expose("outcome", { type: FuseOutcomeEnum, nullable: true }),
		failureSource: t.expose("failureSource", { type: FuseFailureSourceEnum, nullable: true }),
		failureMessage: t.exposeString("failureMessage", { nullable: true }),
		lastError: t.exposeString("lastError", {
			nullable: true,
			description: "Why the step's last attempt came to nothing; it is tried again.",
		}),
	}),
});

builder.objectField(HostRef, "fusion", (t) =>
	t.loadable({
		type: FusionType,
		nullable: true,
		description: "The newest one; null when nobody has tried to fuse it.",
		load: async (hostIds: string[], ctx): Promise<(FusionRecord | null)[]> => {
			const found = await latestFusions(ctx.deps.db.sql, ctx.as("viewer").tenantId, hostIds);
			return aligned(hostIds, found, ({ hostId }) => hostId).map((fusion) => fusion ?? null);
		},
		resolve: (host) => host.id,
	}),
);

const HostPayload = builder.objectRef<{ host: HostRecord }>("HostPayload").implement({
	fields: (t) => ({ host: t.field({ type: HostRef, resolve: ({ host }) => host }) }),
});

builder.mutationFields((t) => ({
	fuseHost: t.field({
		type: HostPayload,
		description: "Grants container actions on a MONITORING host, by its own Docker Engine unless asked otherwise. Role: admin.",
		args: { id: t.arg.id({ required: true }), provider: t.arg({ type: FuseProviderEnum }) },
		resolve: async (_, args, ctx) => ({ host: await fuseHost(ctx.deps, ctx.as("admin"), args) }),
	}),
	unfuseHost: t.field({
		type: HostPayload,
		description: "Takes container actions back and undoes all that fusing did; ends one that is under way. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ host: await unfuseHost(ctx.deps, ctx.as("admin"), id) }),
	}),
}));
