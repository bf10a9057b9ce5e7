import { rotateSiteKey } from "../keys/keys.ts";
import { type KeyRecord, siteKeyFingerprint } from "../keys/key.ts";
import { activeSiteKeys, formerSiteKeys, keysByIds } from "../keys/store.ts";
import { createFleet, createSite } from "../sites/sites.ts";
import type { FleetRecord, SiteRecord } from "../sites/site.ts";
import { countSites, fleetsById, fleetsOfSites, pageOfSites, siteByCode, sitesById } from "../sites/store.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { EnrollmentPolicyEnum } from "./enums.ts";
import { connection, pageComplexity } from "./page.ts";

export const SiteRef = builder.loadableNodeRef("Site", {
	id: { resolve: (site: SiteRecord) => site.id },
	load: async (ids: string[], ctx) => {
		const { tenantId } = ctx.as("viewer");
		const sites = await sitesById(ctx.deps.db.sql, ids);
		return aligned(
			ids,
			sites.filter((site) => site.tenantId === tenantId),
			(site) => site.id,
		);
	},
});

export const SiteKeyRef = builder.loadableNodeRef("SiteKey", {
	id: { resolve: (key: KeyRecord) => key.id },
	load: async (ids: string[], ctx) => {
		const keys = await keysByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids);
		return aligned(
			ids,
			keys.filter(({ kind }) => kind === "site"),
			(key) => key.id,
		);
	},
});

export const FleetRef = builder.loadableNodeRef("Fleet", {
	id: { resolve: (fleet: FleetRecord) => fleet.id },
	load: async (ids: string[], ctx) => aligned(ids, await fleetsById(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (fleet) => fleet.id),
});

SiteKeyRef.implement({
	description: "A site's rotating key. Its secret was shown once, when it was made.",
	fields: (t) => ({
		version: t.exposeInt("version", { description: "Only grows." }),
		fingerprint: t.string({ description: "Safe to show: `v3 (A1B2)`.", resolve: siteKeyFingerprint }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		lastUsedAt: t.expose("lastUsedAt", { type: "DateTime", nullable: true }),
		uses: t.exposeInt("uses", { description: "Claims taken on it, held ones included." }),
		graceEndsAt: t.expose("graceEndsAt", {
			type: "DateTime",
			nullable: true,
			description: "Until when a key that was rotated away is still valid.",
		}),
	}),
});

FleetRef.implement({
	description: "A group of workers inside a site.",
	fields: (t) => ({
		name: t.exposeString("name"),
		site: t.field({ type: SiteRef, resolve: (fleet) => fleet.siteId }),
	}),
});

SiteRef.implement({
	description: "A place, named by its code; holds fleets.",
	fields: (t) => ({
		code: t.exposeString("code"),
		name: t.exposeString("name"),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		enrollmentPolicy: t.expose("enrollmentPolicy", { type: EnrollmentPolicyEnum }),
		workerNamePattern: t.exposeString("workerNamePattern", {
			nullable: true,
			description: "A regular expression that the names of its workers are expected to match.",
		}),
		key: t.loadable({
			type: SiteKeyRef,
			nullable: true,
			description: "The active key, or null before the first rotation.",
			load: async (siteIds: string[], ctx): Promise<(KeyRecord | null)[]> =>
				aligned(siteIds, await activeSiteKeys(ctx.deps.db.sql, ctx.as("viewer").tenantId, siteIds), (key) => key.siteId ?? ""),
			resolve: (site) => site.id,
		}),
		formerKeys: t.loadableGroup({
			type: SiteKeyRef,
			description: "The keys before it, newest first, at most 10. `workers(keyId:)` lists who came in with one.",
			load: (siteIds: string[], ctx): Promise<KeyRecord[]> => formerSiteKeys(ctx.deps.db.sql, ctx.as("viewer").tenantId, siteIds),
			group: (key) => (key as KeyRecord).siteId ?? "",
			resolve: (site) => site.id,
		}),
		fleets: t.loadableGroup({
			type: FleetRef,
			load: (siteIds: string[], ctx): Promise<FleetRecord[]> => fleetsOfSites(ctx.deps.db.sql, ctx.as("viewer").tenantId, siteIds),
			group: (fleet) => (fleet as FleetRecord).siteId,
			resolve: (site) => site.id,
		}),
	}),
});

builder.queryField("site", (t) =>
	t.field({
		type: SiteRef,
		nullable: true,
		description: "Role: viewer.",
		args: { code: t.arg.string({ required: true }) },
		resolve: async (_, { code }, ctx) => (await siteByCode(ctx.deps.db.sql, ctx.as("viewer").tenantId, code)) ?? null,
	}),
);

builder.queryField("sites", (t) =>
	t.connection(
		{
			type: SiteRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				return connection(
					args,
					(site: SiteRecord) => site.id,
					(page) => pageOfSites(sql, tenantId, page),
					() => countSites(sql, tenantId),
				);
			},
		},
		{ name: "SiteConnection" },
		{ name: "SiteEdge" },
	),
);

const CreateSiteInput = builder.inputType("CreateSiteInput", {
	fields: (t) => ({
		code: t.string({ required: true, description: "Letters, digits and dashes; unique in the tenant." }),
		name: t.string(),
		enrollmentPolicy: t.field({ type: EnrollmentPolicyEnum }),
		workerNamePattern: t.string(),
	}),
});
const CreateFleetInput = builder.inputType("CreateFleetInput", {
	fields: (t) => ({ siteCode: t.string({ required: true }), name: t.string({ required: true }) }),
});
const SitePayload = builder
	.objectRef<{ site: SiteRecord }>("SitePayload")
	.implement({ fields: (t) => ({ site: t.field({ type: SiteRef, resolve: ({ site }) => site }) }) });
const FleetPayload = builder
	.objectRef<{ fleet: FleetRecord }>("FleetPayload")
	.implement({ fields: (t) => ({ fleet: t.field({ type: FleetRef, resolve: ({ fleet }) => fleet }) }) });
const RotateSiteKeyPayload = builder.objectRef<{ secret: string; key: KeyRecord }>("RotateSiteKeyPayload").implement({
	fields: (t) => ({
		secret: t.exposeString("secret", { description: "The key itself. Shown here and never again." }),
		key: t.field({ type: SiteKeyRef, resolve: ({ key }) => key }),
	}),
});

builder.mutationFields((t) => ({
	createSite: t.field({
		type: SitePayload,
		description: "Role: admin.",
		args: { input: t.arg({ type: CreateSiteInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ site: await createSite(ctx.deps, ctx.as("admin"), input) }),
	}),
	createFleet: t.field({
		type: FleetPayload,
		description: "Role: admin.",
		args: { input: t.arg({ type: CreateFleetInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ fleet: await createFleet(ctx.deps, ctx.as("admin"), input) }),
	}),
	rotateSiteKey: t.field({
		type: RotateSiteKeyPayload,
		description: "Gives the site a new key; the former one ends at once, or after graceSeconds. Role: admin.",
		args: { siteCode: t.arg.string({ required: true }), graceSeconds: t.arg.int() },
		resolve: (_, args, ctx) => rotateSiteKey(ctx.deps, ctx.as("admin"), args),
	}),
}));
