import { type AuditRecord, searchTerms } from "../audit/audit.ts";
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
			description:
				"Newest first. `search` keeps lines that hold each of its words, or a word that begins so; of an enrollment, a name, a machine uid, an id or an " +
				"address is one word. Role: viewer.",
			complexity: pageComplexity,
			args: { search: t.arg.string() },
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const filter = { terms: searchTerms(args.search ?? "") };
				return connection(
					args,
					(entry: AuditRecord) => entry.id,
					(page) => pageOfAudit(sql, tenantId, filter, page),
					() => countAudit(sql, tenantId, filter),
				);
			},
		},
		{ name: "AuditEntryConnection" },
		{ name: "AuditEntryEdge" },
	),
);
