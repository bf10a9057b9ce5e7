import type { AuditRecord } from "../audit/audit.ts";
import { auditByIds, countAudit, pageOfAudit } from "../audit/store.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { connection, pageComplexity } from "./page.ts";

const AuditEntryRef = builder.loadableNodeRef("AuditEntry", {
	id: { resolve: (entry: AuditRecord) => entry.id },
	load: async (ids: string[], ctx) => aligned(ids, await auditByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (entry) => entry.id),
});

AuditEntryRef.implement({
	description: "One line of the audit log, written in the transaction of the change.",
	fields: (t) => ({
		at: t.expose("at", { type: "DateTime" }),
		actor: t.exposeString("actor"),
		action: t.exposeString("action"),
		subject: t.exposeString("subject"),
		detail: t.expose("detail", { type: "JSON", nullable: true }),
	}),
});

builder.queryField("auditLog", (t) =>
	t.connection(
		{
			type: AuditEntryRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				return connection(
					args,
					(entry: AuditRecord) => entry.id,
					(page) => pageOfAudit(sql, tenantId, page),
					() => countAudit(sql, tenantId),
				);
			},
		},
		{ name: "AuditEntryConnection" },
		{ name: "AuditEntryEdge" },
	),
);
