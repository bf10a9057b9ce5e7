import { hostsByIds } from "../hosts/store.ts";
import type { HostRecord } from "../hosts/host.ts";
import { workersByIds } from "../workers/store.ts";
import type { WorkerView } from "../workers/worker.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";

/** Two types that name each other: their references stand apart so that their files need not import each other. */
export const WorkerRef = builder.loadableNodeRef("Worker", {
	id: { resolve: (worker: WorkerView) => worker.id },
	load: async (ids: string[], ctx) =>
		aligned(ids, await workersByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (worker) => worker.id),
});

export const HostRef = builder.loadableNodeRef("Host", {
	id: { resolve: (host: HostRecord) => host.id },
	load: async (ids: string[], ctx) => aligned(ids, await hostsByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), (host) => host.id),
});
