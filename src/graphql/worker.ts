import type { HeartbeatSignal } from "../events/event.ts";
import { subscription } from "../events/subscribe.ts";
import { labelsFromJson } from "../lib/label.ts";
import type { BeatInput } from "../workers/heartbeats.ts";
import { parseBeat } from "../workers/beat-input.ts";
import { countWorkers, pageOfWorkers, type WorkerCursor, workersByIds } from "../workers/store.ts";
import type { WorkerView } from "../workers/worker.ts";
import { approveWorker, deleteWorker, rejectWorker, revokeWorker } from "../workers/workers.ts";
import { builder } from "./builder.ts";
import { siteIdOf } from "./site-filter.ts";
import { EnrollmentMethodEnum, PendingReasonEnum, WorkerStateEnum } from "./enums.ts";
import { LabelInput, LabelType } from "./label.ts";
import { HostRef, WorkerRef } from "./refs.ts";
import { connection, pageComplexity } from "./page.ts";
import { FleetRef, SiteRef } from "./site.ts";

WorkerRef.implement({
	description: "The enrolled agent's identity.",
	fields: (t) => ({
		name: t.exposeString("name"),
		site: t.field({ type: SiteRef, nullable: true, resolve: (worker) => worker.siteId }),
		fleet: t.field({ type: FleetRef, nullable: true, resolve: (worker) => worker.fleetId }),
		host: t.field({ type: HostRef, nullable: true, resolve: (worker) => worker.hostId }),
		hostname: t.exposeString("hostname", { nullable: true }),
		machineUid: t.string({
			nullable: true,
			resolve: (worker) => worker.machineUid ?? worker.contestedUid,
			description: "A hash: the machine's own ids never leave it.",
		}),
		method: t.expose("method", { type: EnrollmentMethodEnum }),
		autoEnrolled: t.exposeBoolean("autoEnrolled"),
		state: t.expose("state", { type: WorkerStateEnum }),
		pendingReason: t.expose("pendingReason", { type: PendingReasonEnum, nullable: true }),
		labels: t.field({ type: [LabelType], resolve: (worker) => labelsFromJson(worker.labels) }),
		version: t.exposeString("version", { nullable: true }),
		platform: t.exposeString("platform", { nullable: true }),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		lastHeartbeatAt: t.expose("lastHeartbeatAt", { type: "DateTime", nullable: true }),
		online: t.boolean({
			description: "Whether it was heard within MUSTER_STALE_SECONDS.",
			resolve: ({ state, lastHeartbeatAt }, _, { deps }) =>
				state === "ACTIVE" && lastHeartbeatAt !== null && deps.clock.now() - lastHeartbeatAt < deps.settings.staleSeconds * 1_000,
		}),
	}),
});

builder.queryFields((t) => ({
	worker: t.field({
		type: WorkerRef,
		nullable: true,
		description: "Role: viewer.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => (await workersByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, [id]))[0] ?? null,
	}),
	workers: t.connection(
		{
			type: WorkerRef,
			description: "Newest first. `name` finds names that contain it. Role: viewer.",
			complexity: pageComplexity,
			args: {
				siteCode: t.arg.string(),
				state: t.arg({ type: WorkerStateEnum }),
				method: t.arg({ type: EnrollmentMethodEnum }),
				name: t.arg.string(),
				fleetId: t.arg.id(),
				label: t.arg({ type: LabelInput }),
				keyId: t.arg.id({ description: "Enrolled with this key, by its id: an EnrollmentKey, or a SiteKey, former ones included." }),
				apiKeyId: t.arg.id({ description: "May run on this API key." }),
			},
			resolve: async (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const siteId = await siteIdOf(ctx, args.siteCode);
				const filter = {
					...(siteId === undefined ? {} : { siteId }),
					...(args.state == null ? {} : { state: args.state }),
					...(args.method == null ? {} : { method: args.method }),
					...(args.name == null ? {} : { name: args.name }),
					...(args.fleetId == null ? {} : { fleetId: args.fleetId }),
					...(args.label == null ? {} : { label: args.label }),
					...(args.keyId == null ? {} : { keyId: args.keyId }),
					...(args.apiKeyId == null ? {} : { apiKeyId: args.apiKeyId }),
				};
				return connection(
					args,
					(worker: WorkerView) => `${worker.createdAt}:${worker.id}`,
					({ after, before, ...page }) =>
						pageOfWorkers(sql, tenantId, filter, {
							...page,
							...(after === undefined ? {} : { after: workerCursor(after) }),
							...(before === undefined ? {} : { before: workerCursor(before) }),
						}),
					() => countWorkers(sql, tenantId, filter),
				);
			},
		},
		{ name: "WorkerConnection" },
		{ name: "WorkerEdge" },
	),
}));

function workerCursor(place: string): WorkerCursor {
	const colon = place.indexOf(":");
	const createdAt = Number(place.slice(0, colon));
	return { createdAt: Number.isSafeInteger(createdAt) && Math.abs(createdAt) < 8.64e15 ? createdAt : 0, id: place.slice(colon + 1) };
}

export const WorkerPayload = builder.objectRef<{ worker: WorkerView }>("WorkerPayload").implement({
	fields: (t) => ({ worker: t.field({ type: WorkerRef, resolve: ({ worker }) => worker }) }),
});
export const DeletedPayload = builder.objectRef<{ deletedId: string }>("DeletedPayload").implement({
	fields: (t) => ({ deletedId: t.exposeID("deletedId") }),
});

builder.mutationFields((t) => ({
	approveWorker: t.field({
		type: WorkerPayload,
		description: "Lets a held worker in; it gets its credential when it asks again. Role: operator.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ worker: await approveWorker(ctx.deps, ctx.as("operator"), id) }),
	}),
	rejectWorker: t.field({
		type: WorkerPayload,
		description: "Turns a held worker away. Role: operator.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ worker: await rejectWorker(ctx.deps, ctx.as("operator"), id) }),
	}),
	revokeWorker: t.field({
		type: WorkerPayload,
		description: "Cuts a worker off at once; its machine stays out until the worker is deleted. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ worker: await revokeWorker(ctx.deps, ctx.as("admin"), id) }),
	}),
	deleteWorker: t.field({
		type: DeletedPayload,
		description: "Removes a worker with its host and cuts it off; its machine may enroll anew. Role: admin.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ deletedId: await deleteWorker(ctx.deps, ctx.as("admin"), id) }),
	}),
}));

const MeshReportInput = builder.inputType("MeshReportInput", {
	description: "The worker's place on the mesh, as it sees it itself.",
	fields: (t) => ({
		state: t.string({ required: true, description: "The mesh client's own word, for example Running or NeedsLogin." }),
		addresses: t.stringList({ required: true, description: "Its addresses on the mesh, the one to be reached at first." }),
		nodeName: t.string({ description: "Its name on the mesh." }),
	}),
});
const HeartbeatInput = builder.inputType("HeartbeatInput", {
	fields: (t) => ({
		bootId: t.string({ description: "Random, made at each start of the worker." }),
		sequence: t.int({ description: "Counts beats since the start of the worker." }),
		load1: t.float(),
		memoryUsedBytes: t.float(),
		uptimeSeconds: t.float(),
		version: t.string({ description: "Of the worker: it may be newer than the one that enrolled." }),
		mesh: t.field({ type: MeshReportInput, description: "Left out by a worker that has no mesh." }),
	}),
});
const HeartbeatPayload = builder.objectRef<{ at: number; nextInSeconds: number }>("HeartbeatPayload").implement({
	fields: (t) => ({ serverTime: t.expose("at", { type: "DateTime" }), nextInSeconds: t.exposeFloat("nextInSeconds") }),
});

builder.mutationField("heartbeat", (t) =>
	t.field({
		type: HeartbeatPayload,
		description: "Tells that the worker lives. Written in bulk a few times a second. For workers.",
		args: { input: t.arg({ type: HeartbeatInput }) },
		resolve: (_, { input }, ctx) => ({
			...ctx.heartbeats.beat(ctx.asWorker(), parseBeat((input ?? {}) satisfies BeatInput)),
			nextInSeconds: ctx.deps.settings.heartbeatSeconds,
		}),
	}),
);

const HeartbeatType = builder.objectRef<HeartbeatSignal>("Heartbeat").implement({
	description: "A sign of life, as it arrives.",
	fields: (t) => ({
		workerId: t.exposeID("workerId"),
		hostId: t.exposeID("hostId", { nullable: true }),
		name: t.exposeString("name"),
		at: t.expose("at", { type: "DateTime" }),
		load1: t.exposeFloat("load1", { nullable: true }),
		memoryUsedBytes: t.exposeFloat("memoryUsedBytes", { nullable: true }),
		uptimeSeconds: t.exposeFloat("uptimeSeconds", { nullable: true }),
	}),
});

builder.subscriptionField("heartbeat", (t) =>
	t.field({
		type: HeartbeatType,
		description: "Heartbeats as they arrive, of a site or of some workers. Role: viewer.",
		args: { siteCode: t.arg.string(), workerIds: t.arg.idList() },
		subscribe: async (_, { siteCode, workerIds }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const siteId = await siteIdOf(ctx, siteCode);
			const wanted = workerIds == null ? undefined : new Set(workerIds.map(String));
			return subscription<readonly HeartbeatSignal[], HeartbeatSignal>(ctx, ctx.deps.bus.onHeartbeat, (beats) =>
				beats.filter(
					(beat) =>
						beat.tenantId === tenantId &&
						(siteId === undefined || beat.siteId === siteId) &&
						(wanted === undefined || wanted.has(beat.workerId)),
				),
			);
		},
		resolve: (beat) => beat,
	}),
);
