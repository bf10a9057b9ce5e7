import { lastVitalsOf, vitalsOf, type WorkerVitals } from "../workers/vitals-store.ts";
import { slots, type Vitals } from "../workers/vitals.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import type { GraphQLContext } from "./context.ts";
import { HostRef, WorkerRef } from "./refs.ts";

const VitalsType = builder.objectRef<Vitals>("Vitals").implement({
	description: "What a worker said of its host in a heartbeat.",
	fields: (t) => ({
		at: t.expose("at", { type: "DateTime" }),
		bootId: t.exposeString("bootId", { nullable: true, description: "Changes with each start of the worker." }),
		load1: t.exposeFloat("load1", { nullable: true }),
		memoryUsedBytes: t.exposeFloat("memoryUsedBytes", { nullable: true }),
		uptimeSeconds: t.exposeFloat("uptimeSeconds", { nullable: true }),
	}),
});

const historyDescription = "The last hour, a point a minute, oldest first: enough for a sparkline.";
const lastDescription = "The last heartbeat; null before the first.";

async function loadLast(workerIds: string[], ctx: GraphQLContext): Promise<(Vitals | null)[]> {
	const last = await lastVitalsOf(ctx.deps.db.sql, ctx.as("viewer").tenantId, workerIds);
	return aligned(workerIds, last, ({ workerId }) => workerId);
}

function loadHistory(workerIds: string[], ctx: GraphQLContext): Promise<WorkerVitals[]> {
	return vitalsOf(ctx.deps.db.sql, ctx.as("viewer").tenantId, workerIds, ctx.deps.clock.now());
}

/** A history costs as many rows as it may have. */
const complexity = { field: 1, multiplier: slots };
/** Nobody has this id: the history of a host without a worker is empty. */
const nobody = "";

builder.objectFields(WorkerRef, (t) => ({
	vitals: t.loadable({ type: VitalsType, nullable: true, description: lastDescription, load: loadLast, resolve: (worker) => worker.id }),
	history: t.loadableGroup({
		type: VitalsType,
		description: historyDescription,
		complexity,
		load: loadHistory,
		group: (point) => (point as WorkerVitals).workerId,
		resolve: (worker) => worker.id,
	}),
}));

builder.objectFields(HostRef, (t) => ({
	vitals: t.loadable({
		type: VitalsType,
		nullable: true,
		description: lastDescription,
		load: loadLast,
		resolve: (host) => host.workerId ?? nobody,
	}),
	history: t.loadableGroup({
		type: VitalsType,
		description: historyDescription,
		complexity,
		load: loadHistory,
		group: (point) => (point as WorkerVitals).workerId,
		resolve: (host) => host.workerId ?? nobody,
	}),
}));
