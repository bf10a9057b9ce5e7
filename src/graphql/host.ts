import { pageOfAttempts } from "../enrollment/attempt-store.ts";
import { eventSubscription } from "../events/subscribe.ts";
import type { HostRecord } from "../hosts/host.ts";
import { countHosts, hostByName, hostsByIds, pageOfHosts } from "../hosts/store.ts";
import { MusterError } from "../errors.ts";
import { liveHostTokens } from "../keys/store.ts";
import { aligned } from "./aligned.ts";
import { AttemptRef } from "./attempt.ts";
import { builder } from "./builder.ts";
import { siteIdOf } from "./site-filter.ts";
import { FuseProviderEnum, HostStateEnum } from "./enums.ts";
import { limits } from "./limits.ts";
import { connection, pageComplexity } from "./page.ts";
import { HostRef, WorkerRef } from "./refs.ts";
import { SiteRef } from "./site.ts";

HostRef.implement({
	description: "The machine's record and life cycle.",
	fields: (t) => ({
		name: t.exposeString("name"),
		site: t.field({ type: SiteRef, nullable: true, resolve: (host) => host.siteId }),
		state: t.expose("state", { type: HostStateEnum }),
		lastKnownState: t.field({ type: HostStateEnum, resolve: (host) => host.lastKnownState }),
		worker: t.field({ type: WorkerRef, nullable: true, resolve: (host) => host.workerId }),
		meshAddress: t.string({
			nullable: true,
			description: "Where its worker says that it is on the mesh.",
			resolve: ({ workerId, meshAddress }) => (workerId === null ? null : meshAddress),
		}),
		fuseProvider: t.expose("fuseProvider", { type: FuseProviderEnum, nullable: true }),
		tokenExpiresAt: t.loadable({
			type: "DateTime",
			nullable: true,
			description: "When the host's unused token ends; null when it has none.",
			load: async (hostIds: string[], ctx): Promise<(number | null)[]> => {
				const { tenantId } = ctx.as("viewer");
				const tokens = await liveHostTokens(ctx.deps.db.sql, tenantId, hostIds, ctx.deps.clock.now());
				return aligned(hostIds, tokens, (token) => token.hostId ?? "").map((token) => token?.expiresAt ?? null);
			},
			resolve: (host) => host.id,
		}),
		lastHeartbeatAt: t.field({
			type: "DateTime",
			nullable: true,
			resolve: async (host, _, ctx) =>
				host.workerId === null ? null : ((await WorkerRef.getDataloader(ctx).load(host.workerId))?.lastHeartbeatAt ?? null),
		}),
		recentAttempts: t.field({
			type: [AttemptRef],
			description: "The last enroll attempts for this host, newest first.",
			complexity: pageComplexity,
			args: { first: t.arg.int() },
			resolve: (host, { first }, ctx) =>
				pageOfAttempts(
					ctx.deps.db.sql,
					ctx.as("viewer").tenantId,
					{ hostId: host.id },
					{ limit: Math.max(1, Math.min(first ?? 10, limits.pageMax)), backward: false },
				),
		}),
	}),
});

builder.queryFields((t) => ({
	host: t.field({
		type: HostRef,
		nullable: true,
		description: "By id, or the newest of a name. Role: viewer.",
		args: { id: t.arg.id(), name: t.arg.string() },
		resolve: async (_, { id, name }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			if ((id == null) === (name == null))
				throw new MusterError("BAD_USER_INPUT", "Cannot look up the host: give either id or name", { fields: ["id", "name"] });
			if (name != null) return (await hostByName(ctx.deps.db.sql, tenantId, name)) ?? null;
			return (await hostsByIds(ctx.deps.db.sql, tenantId, [String(id)]))[0] ?? null;
		},
	}),
	hosts: t.connection(
		{
			type: HostRef,
			description:
				"Newest first. `name` finds names that contain it, `skip` leaves out so many rows of what the cursor leads to. Role: viewer.",
			complexity: pageComplexity,
			args: { siteCode: t.arg.string(), state: t.arg({ type: HostStateEnum }), name: t.arg.string(), skip: t.arg.int() },
			resolve: async (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const siteId = await siteIdOf(ctx, args.siteCode);
				const filter = {
					...(siteId === undefined ? {} : { siteId }),
					...(args.state == null ? {} : { state: args.state }),
					...(args.name == null ? {} : { name: args.name }),
				};
				const skip = args.skip ?? 0;
				if (skip < 0) throw new MusterError("BAD_USER_INPUT", `skip is ${skip}: it is 0 or more`, { fields: ["skip"] });
				return connection(
					args,
					(host: HostRecord) => host.id,
					(page) => pageOfHosts(sql, tenantId, filter, { ...page, skip }),
					() => countHosts(sql, tenantId, filter),
				);
			},
		},
		{ name: "HostConnection" },
		{ name: "HostEdge" },
	),
}));

builder.subscriptionField("hostChanged", (t) =>
	t.field({
		type: HostRef,
		description: "Hosts as they are made, move or change state. Role: viewer.",
		args: { siteCode: t.arg.string(), hostIds: t.arg.idList() },
		subscribe: async (_, { siteCode, hostIds }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const siteId = await siteIdOf(ctx, siteCode);
			const wanted = hostIds == null ? undefined : new Set(hostIds.map(String));
			return eventSubscription(ctx, { tenantId, kind: "host" }, (event) =>
				(siteId === undefined || event.host.siteId === siteId) && (wanted === undefined || wanted.has(event.host.id)) ? [event.host] : [],
			);
		},
		resolve: (host) => host,
	}),
);
