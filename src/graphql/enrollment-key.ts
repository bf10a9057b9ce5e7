import { createEnrollmentKey, type MadeEnrollmentKey, revokeEnrollmentKey } from "../keys/enrollment-keys.ts";
import type { KeyRecord } from "../keys/key.ts";
import { countEnrollmentKeys, keysByIds, pageOfEnrollmentKeys } from "../keys/store.ts";
import { labelsFromJson } from "../lib/label.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { SnippetFormatEnum } from "./enums.ts";
import { LabelInput, LabelType } from "./label.ts";
import { connection, pageComplexity } from "./page.ts";
import { WorkerRef } from "./refs.ts";
import { FleetRef, SiteRef } from "./site.ts";
import { siteIdOf } from "./site-filter.ts";

export const EnrollmentKeyRef = builder.loadableNodeRef("EnrollmentKey", {
	id: { resolve: (key: KeyRecord) => key.id },
	load: async (ids: string[], ctx) => {
		const keys = await keysByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids);
		return aligned(
			ids,
			keys.filter(({ kind }) => kind === "enroll"),
			(key) => key.id,
		);
	},
});

EnrollmentKeyRef.implement({
	description: "A key for many workers and a short time. Its secret was shown once, when it was made.",
	fields: (t) => ({
		name: t.exposeString("name"),
		site: t.field({ type: SiteRef, resolve: (key) => key.siteId ?? "" }),
		fleet: t.field({ type: FleetRef, nullable: true, resolve: (key) => key.fleetId }),
		hint: t.exposeString("hint", { description: "First four hex digits of SHA-256 of the secret: tells keys apart, gives nothing away." }),
		maxUses: t.int({ resolve: (key) => key.maxUses ?? 0 }),
		uses: t.exposeInt("uses"),
		expiresAt: t.field({ type: "DateTime", resolve: (key) => key.expiresAt ?? 0 }),
		revokedAt: t.expose("revokedAt", { type: "DateTime", nullable: true }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		lastUsedAt: t.expose("lastUsedAt", { type: "DateTime", nullable: true }),
		lastWorker: t.field({
			type: WorkerRef,
			nullable: true,
			description: "The worker that enrolled with it last.",
			resolve: (key) => key.lastWorkerId,
		}),
		allowedCidrs: t.exposeStringList("allowedCidrs", { description: "Where it may be used from; empty: anywhere." }),
		labels: t.field({ type: [LabelType], description: "What its workers get.", resolve: (key) => labelsFromJson(key.labels) }),
	}),
});

builder.queryField("enrollmentKeys", (t) =>
	t.connection(
		{
			type: EnrollmentKeyRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			args: { siteCode: t.arg.string() },
			resolve: async (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const siteId = await siteIdOf(ctx, args.siteCode);
				return connection(
					args,
					(key: KeyRecord) => key.id,
					(page) => pageOfEnrollmentKeys(sql, tenantId, siteId, page),
					() => countEnrollmentKeys(sql, tenantId, siteId),
				);
			},
		},
		{ name: "EnrollmentKeyConnection" },
		{ name: "EnrollmentKeyEdge" },
	),
);

const CreateEnrollmentKeyInput = builder.inputType("CreateEnrollmentKeyInput", {
	fields: (t) => ({
		name: t.string({ required: true }),
		siteCode: t.string({ required: true }),
		fleetId: t.id({ description: "A fleet of that site." }),
		maxUses: t.int({ description: "100 when left out." }),
		expiresInHours: t.float({ description: "24 when left out." }),
		allowedCidrs: t.stringList({ description: "Addresses or CIDRs it may be used from; anywhere when left out." }),
		labels: t.field({ type: [LabelInput], description: "What its workers get; their own labels win." }),
		workerName: t.string({ description: "Whom `snippet` is to install; the key lets in whoever holds it." }),
	}),
});
const CreateEnrollmentKeyPayload = builder.objectRef<MadeEnrollmentKey>("CreateEnrollmentKeyPayload").implement({
	fields: (t) => ({
		secret: t.exposeString("secret", { description: "The key itself. Shown here and never again." }),
		key: t.field({ type: EnrollmentKeyRef, resolve: ({ key }) => key }),
		snippet: t.exposeString("snippet", {
			nullable: true,
			description: "Installs the worker of `workerName` with this key; null when none was named. Holds the key.",
		}),
	}),
});
const EnrollmentKeyPayload = builder.objectRef<{ key: KeyRecord }>("EnrollmentKeyPayload").implement({
	fields: (t) => ({ key: t.field({ type: EnrollmentKeyRef, resolve: ({ key }) => key }) }),
});

builder.mutationFields((t) => ({
	createEnrollmentKey: t.field({
		type: CreateEnrollmentKeyPayload,
		description: "Role: admin.",
		args: { input: t.arg({ type: CreateEnrollmentKeyInput, required: true }), format: t.arg({ type: SnippetFormatEnum }) },
		resolve: (_, { input, format }, ctx) => createEnrollmentKey(ctx.deps, ctx.as("admin"), { ...input, format }),
	}),
	revokeEnrollmentKey: t.field({
		type: EnrollmentKeyPayload,
		description: "Refuses later claims; workers enrolled with it stay. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ key: await revokeEnrollmentKey(ctx.deps, ctx.as("admin"), id) }),
	}),
}));
