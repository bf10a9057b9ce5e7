import type { AlertRecord } from "../alerts/alert.ts";
import { acknowledgeAlert } from "../alerts/alerts.ts";
import { alertsByIds, countAlerts, pageOfAlerts } from "../alerts/store.ts";
import { eventSubscription } from "../events/subscribe.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { siteIdOf } from "./site-filter.ts";
import { connection, pageComplexity } from "./page.ts";
import { HostRef, WorkerRef } from "./refs.ts";
import { SiteRef } from "./site.ts";

const AlertRef = builder.loadableNodeRef("Alert", {
	id: { resolve: (alert: AlertRecord) => alert.id },
	load: async (ids: string[], ctx) => aligned(ids, await alertsByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (alert) => alert.id),
});

AlertRef.implement({
	description: "Something an operator should look at.",
	fields: (t) => ({
		at: t.expose("at", { type: "DateTime" }),
		kind: t.exposeString("kind"),
		severity: t.exposeString("severity", { description: "info, warning or critical." }),
		message: t.exposeString("message"),
		worker: t.field({ type: WorkerRef, nullable: true, resolve: (alert) => alert.workerId }),
		host: t.field({ type: HostRef, nullable: true, resolve: (alert) => alert.hostId }),
		site: t.field({ type: SiteRef, nullable: true, resolve: (alert) => alert.siteId }),
		acknowledgedAt: t.expose("acknowledgedAt", { type: "DateTime", nullable: true }),
	}),
});

builder.queryField("alerts", (t) =>
	t.connection(
		{
			type: AlertRef,
			description: "Newest first. `open: true`: not acknowledged yet. Role: viewer.",
			complexity: pageComplexity,
			args: { open: t.arg.boolean() },
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const open = args.open ?? undefined;
				return connection(
					args,
					(alert: AlertRecord) => alert.id,
					(page) => pageOfAlerts(sql, tenantId, open, page),
					() => countAlerts(sql, tenantId, open),
				);
			},
		},
		{ name: "AlertConnection" },
		{ name: "AlertEdge" },
	),
);

const AlertPayload = builder.objectRef<{ alert: AlertRecord }>("AlertPayload").implement({
	fields: (t) => ({ alert: t.field({ type: AlertRef, resolve: ({ alert }) => alert }) }),
});

builder.mutationField("acknowledgeAlert", (t) =>
	t.field({
		type: AlertPayload,
		description: "Role: operator.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ alert: await acknowledgeAlert(ctx.deps, ctx.as("operator"), id) }),
	}),
);

builder.subscriptionField("alert", (t) =>
	t.field({
		type: AlertRef,
		description: "Alerts as they are raised. Role: viewer.",
		args: { siteCode: t.arg.string(), kinds: t.arg.stringList() },
		subscribe: async (_, { siteCode, kinds }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const siteId = await siteIdOf(ctx, siteCode);
			return eventSubscription(ctx, { tenantId, kind: "alert" }, (event) =>
				(siteId === undefined || event.alert.siteId === siteId) && (kinds?.includes(event.alert.kind) ?? true) ? [event.alert] : [],
			);
		},
		resolve: (alert) => alert,
	}),
);
