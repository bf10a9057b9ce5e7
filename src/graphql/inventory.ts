import { eventSubscription } from "../events/subscribe.ts";
import { countHostEvents, pageOfHostEvents } from "../inventory/events-store.ts";
import type { ContainerRecord, ContainerStats, EngineRecord, HostEventRecord } from "../inventory/inventory.ts";
import { statsOf } from "../inventory/stats-store.ts";
import { containersOf, enginesOf } from "../inventory/store.ts";
import { slots } from "../workers/vitals.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { LabelType } from "./label.ts";
import { limits } from "./limits.ts";
import { connection, pageComplexity } from "./page.ts";
import { HostRef } from "./refs.ts";
import { siteIdOf } from "./site-filter.ts";

const EngineType = builder.objectRef<EngineRecord>("Engine").implement({
	description: "A host's container engine as its worker saw it last; it stays while the host is DEGRADED.",
	fields: (t) => ({
		id: t.exposeString("engineId", { nullable: true, description: "Docker's id of the engine; null: there was none, see `reason`." }),
		version: t.exposeString("version", { nullable: true }),
		apiVersion: t.exposeString("apiVersion", { nullable: true }),
		reason: t.exposeString("reason", { nullable: true, description: "Why there is none, with the remedy." }),
		reportedAt: t.expose("reportedAt", { type: "DateTime" }),
	}),
});

const StatsType = builder.objectRef<ContainerStats>("ContainerMetrics").implement({
	description: "A container's figures at one moment.",
	fields: (t) => ({
		at: t.expose("at", { type: "DateTime" }),
		cpuCores: t.exposeFloat("cpuCores", { description: "Cores in use: 1.5 is one and a half." }),
		memoryBytes: t.exposeFloat("memoryBytes"),
		memoryLimitBytes: t.exposeFloat("memoryLimitBytes", { nullable: true }),
		networkReceivedBytes: t.exposeFloat("networkReceivedBytes", { description: "Since the container's start." }),
		networkSentBytes: t.exposeFloat("networkSentBytes", { description: "Since the container's start." }),
	}),
});

const ContainerType = builder.objectRef<ContainerRecord>("Container").implement({
	description: "A container as its worker saw it last.",
	fields: (t) => ({
		id: t.exposeString("id"),
		name: t.exposeString("name"),
		image: t.exposeString("image"),
		state: t.exposeString("state", { description: "Docker's: created, running, paused, restarting, removing, exited, dead." }),
		status: t.exposeString("status", { description: "In Docker's own words: `Up 3 hours (healthy)`." }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		labels: t.field({ type: [LabelType], resolve: ({ labels }) => Object.entries(labels).map(([key, value]) => ({ key, value })) }),
		ports: t.exposeStringList("ports"),
		metrics: t.loadableList({
			type: StatsType,
			description: "The last hour, a point a minute, oldest first.",
			complexity: { field: 1, multiplier: slots },
			load: async (keys: string[], ctx) => {
				const wanted = keys.map((key) => ({ hostId: key.slice(0, key.indexOf("\n")), id: key.slice(key.indexOf("\n") + 1) }));
				const points = await statsOf(ctx.deps.db.sql, ctx.as("viewer").tenantId, wanted, ctx.deps.clock.now());
				const byKey = Map.groupBy(points, ({ hostId, containerId }) => `${hostId}\n${containerId}`);
				return keys.map((key) => byKey.get(key) ?? []);
			},
			resolve: ({ hostId, id }) => `${hostId}\n${id}`,
		}),
	}),
});

const HostEventType = builder.objectRef<HostEventRecord>("HostEvent").implement({
	description: "Something that happened on a host's engine.",
	fields: (t) => ({
		id: t.exposeString("id"),
		hostId: t.exposeID("hostId"),
		at: t.expose("at", { type: "DateTime" }),
		type: t.exposeString("type", { description: "container, image, network or volume." }),
		action: t.exposeString("action", { description: "start, die, pull …" }),
		subject: t.exposeString("subject", { description: "The id of what it happened to." }),
		name: t.exposeString("name", { nullable: true }),
		attributes: t.field({
			type: [LabelType],
			resolve: ({ attributes }) => Object.entries(attributes).map(([key, value]) => ({ key, value })),
		}),
	}),
});

builder.objectFields(HostRef, (t) => ({
	engine: t.loadable({
		type: EngineType,
		nullable: true,
		description: "Null before the worker's first report.",
		load: async (hostIds: string[], ctx) =>
			aligned(hostIds, await enginesOf(ctx.deps.db.sql, ctx.as("viewer").tenantId, hostIds), ({ hostId }) => hostId),
		resolve: (host) => host.id,
	}),
	containers: t.loadableList({
		type: ContainerType,
		description: "By name, the first 50 unless more are asked for.",
		complexity: pageComplexity,
		args: { first: t.arg.int() },
		load: async (keys: string[], ctx) => {
			const wanted = keys.map((key) => ({ first: Number(key.slice(0, key.indexOf(" "))), hostId: key.slice(key.indexOf(" ") + 1) }));
			const most = Math.max(...wanted.map(({ first }) => first));
			const ids = [...new Set(wanted.map(({ hostId }) => hostId))];
			const found = await containersOf(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids, most);
			const byHost = Map.groupBy(found, ({ hostId }) => hostId);
			return wanted.map(({ first, hostId }) => byHost.get(hostId)?.slice(0, first) ?? []);
		},
		resolve: (host, { first }) => `${Math.max(1, Math.min(first ?? limits.pageDefault, limits.pageMax))} ${host.id}`,
	}),
	events: t.connection(
		{
			type: HostEventType,
			description: "Newest first. The newest 500 are kept, for a week.",
			complexity: pageComplexity,
			resolve: (host, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				return connection(
					args,
					(event: HostEventRecord) => event.id,
					(page) => pageOfHostEvents(sql, tenantId, host.id, page),
					() => countHostEvents(sql, tenantId, host.id),
				);
			},
		},
		{ name: "HostEventConnection" },
		{ name: "HostEventEdge" },
	),
}));

builder.subscriptionField("hostEvent", (t) =>
	t.field({
		type: HostEventType,
		description: "What happens on hosts' engines, as their workers report it. Role: viewer.",
		args: { siteCode: t.arg.string(), hostIds: t.arg.idList() },
		subscribe: async (_, { siteCode, hostIds }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const siteId = await siteIdOf(ctx, siteCode);
			const wanted = hostIds == null ? undefined : new Set(hostIds.map(String));
			return eventSubscription(ctx, { tenantId, kind: "host-events" }, (event) =>
				(siteId === undefined || event.siteId === siteId) && (wanted === undefined || wanted.has(event.hostId)) ? event.events : [],
			);
		},
		resolve: (event) => event,
	}),
);
