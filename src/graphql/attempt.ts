import type { AttemptRecord } from "../enrollment/attempt.ts";
import { attemptsByIds, countAttempts, pageOfAttempts } from "../enrollment/attempt-store.ts";
import { eventSubscription } from "../events/subscribe.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { siteIdOf } from "./site-filter.ts";
import { EnrollmentMethodEnum, EnrollOutcomeEnum, RejectionReasonEnum } from "./enums.ts";
import { connection, pageComplexity } from "./page.ts";

export const AttemptRef = builder.loadableNodeRef("EnrollmentAttempt", {
	id: { resolve: (attempt: AttemptRecord) => attempt.id },
	load: async (ids: string[], ctx) =>
		aligned(ids, await attemptsByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (attempt) => attempt.id),
});

AttemptRef.implement({
	description: "One enroll attempt, good or bad.",
	fields: (t) => ({
		at: t.expose("at", { type: "DateTime" }),
		method: t.expose("method", { type: EnrollmentMethodEnum, nullable: true }),
		accepted: t.exposeBoolean("accepted"),
		outcome: t.expose("outcome", { type: EnrollOutcomeEnum, nullable: true }),
		reason: t.expose("reason", { type: RejectionReasonEnum, nullable: true }),
		sourceAddress: t.exposeString("sourceAddress"),
		claimedName: t.exposeString("claimedName", { nullable: true }),
		machineUid: t.exposeString("machineUid", { nullable: true }),
	}),
});

builder.queryField("enrollmentAttempts", (t) =>
	t.connection(
		{
			type: AttemptRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			args: { siteCode: t.arg.string(), reason: t.arg({ type: RejectionReasonEnum }) },
			resolve: async (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const siteId = await siteIdOf(ctx, args.siteCode);
				const filter = { ...(siteId === undefined ? {} : { siteId }), ...(args.reason == null ? {} : { reason: args.reason }) };
				return connection(
					args,
					(attempt: AttemptRecord) => attempt.id,
					(page) => pageOfAttempts(sql, tenantId, filter, page),
					() => countAttempts(sql, tenantId, filter),
				);
			},
		},
		{ name: "EnrollmentAttemptConnection" },
		{ name: "EnrollmentAttemptEdge" },
	),
);

builder.subscriptionField("enrollmentAttempt", (t) =>
	t.field({
		type: AttemptRef,
		description: "Enroll attempts as they are decided. Role: viewer.",
		args: { siteCode: t.arg.string() },
		subscribe: async (_, { siteCode }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const siteId = await siteIdOf(ctx, siteCode);
			return eventSubscription(ctx, { tenantId, kind: "attempt" }, (event) =>
				siteId === undefined || event.attempt.siteId === siteId ? [event.attempt] : [],
			);
		},
		resolve: (attempt) => attempt,
	}),
);
