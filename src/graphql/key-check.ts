import { checkEnrollmentKey, type KeyCheck } from "../enrollment/check.ts";
import { builder } from "./builder.ts";
import { EnrollmentKeyRef } from "./enrollment-key.ts";
import { EnrollmentMethodEnum, EnrollOutcomeEnum, PendingReasonEnum, RejectionReasonEnum } from "./enums.ts";
import { HostRef } from "./refs.ts";
import { SiteRef } from "./site.ts";

const EnrollmentKeyCheck = builder.objectRef<KeyCheck>("EnrollmentKeyCheck").implement({
	description: "What would happen now to a worker that came with a key. Nothing was used.",
	fields: (t) => ({
		wouldAdmit: t.boolean({ resolve: ({ kind }) => kind === "admit" || kind === "replay" }),
		outcome: t.expose("outcome", { type: EnrollOutcomeEnum, nullable: true, description: "How it would be let in." }),
		pendingReason: t.expose("pendingReason", { type: PendingReasonEnum, nullable: true, description: "Why it would be held." }),
		reason: t.expose("reason", { type: RejectionReasonEnum, nullable: true, description: "Why it would be refused." }),
		message: t.exposeString("message"),
		method: t.expose("method", { type: EnrollmentMethodEnum, description: "The way in that this kind of key is." }),
		usesLeft: t.int({
			nullable: true,
			description: "Null: no limit.",
			resolve: ({ key }) => (key?.maxUses == null ? null : key.maxUses - key.uses),
		}),
		expiresAt: t.field({ type: "DateTime", nullable: true, resolve: ({ key }) => key?.expiresAt ?? key?.graceEndsAt ?? null }),
		site: t.field({ type: SiteRef, nullable: true, resolve: ({ key }) => key?.siteId ?? null }),
		host: t.field({
			type: HostRef,
			nullable: true,
			description: "The host that a host token is for.",
			resolve: ({ key }) => key?.hostId ?? null,
		}),
		enrollmentKey: t.field({ type: EnrollmentKeyRef, nullable: true, resolve: ({ key }) => (key?.kind === "enroll" ? key : null) }),
	}),
});

builder.queryField("checkEnrollmentKey", (t) =>
	t.field({
		type: EnrollmentKeyCheck,
		description:
			"Says what would happen now to a worker with this key, of any kind, and why, without using anything. What is left out counts as a new machine, from an allowed address, with the right name. Role: admin.",
		args: {
			key: t.arg.string({ required: true }),
			sourceAddress: t.arg.string(),
			name: t.arg.string(),
			machineUid: t.arg.string(),
			hostname: t.arg.string(),
		},
		resolve: (_, args, ctx) => checkEnrollmentKey(ctx.deps, ctx.prover, ctx.as("admin"), args),
	}),
);
