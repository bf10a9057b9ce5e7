import * as v from "valibot";
import { collisionVerdicts, resolveCollision } from "../workers/collision.ts";
import { builder } from "./builder.ts";
import { WorkerRef } from "./refs.ts";
import { WorkerPayload } from "./worker.ts";

const claimant = v.object({
	workerId: v.optional(v.nullable(v.string()), null),
	name: v.nullable(v.string()),
	hostname: v.nullable(v.string()),
	sourceAddress: v.optional(v.nullable(v.string()), null),
	lastHeartbeatAt: v.optional(v.nullable(v.number()), null),
	at: v.optional(v.nullable(v.number()), null),
});
const evidence = v.object({ incumbent: claimant, claimant });
type Claimant = v.InferOutput<typeof claimant>;

const ClaimantType = builder.objectRef<Claimant>("CollisionClaimant").implement({
	description: "What one of two that claim a machine said of itself, as it was then.",
	fields: (t) => ({
		worker: t.field({ type: WorkerRef, nullable: true, resolve: ({ workerId }) => workerId }),
		name: t.exposeString("name", { nullable: true }),
		hostname: t.exposeString("hostname", { nullable: true }),
		sourceAddress: t.exposeString("sourceAddress", { nullable: true }),
		lastHeartbeatAt: t.expose("lastHeartbeatAt", { type: "DateTime", nullable: true }),
		claimedAt: t.expose("at", { type: "DateTime", nullable: true }),
	}),
});
const CollisionType = builder.objectRef<v.InferOutput<typeof evidence>>("Collision").implement({
	description: "Two that claim one machine: the worker that has it and was online, and the one that is held (S5).",
	fields: (t) => ({
		incumbent: t.field({ type: ClaimantType, resolve: (collision) => collision.incumbent }),
		claimant: t.field({ type: ClaimantType, resolve: (collision) => collision.claimant }),
	}),
});

builder.objectField(WorkerRef, "collision", (t) =>
	t.field({
		type: CollisionType,
		nullable: true,
		description: "The evidence of the collision that this worker was held for.",
		resolve: (worker) => {
			const found = v.safeParse(evidence, worker.evidence);
			return found.success ? found.output : null;
		},
	}),
);

const CollisionVerdictEnum = builder.enumType("CollisionVerdict", {
	description: "ADOPT: the same machine, it goes on as the worker there is. SPLIT: another machine, a worker of its own. BAN: stays out.",
	values: collisionVerdicts,
});

builder.mutationField("resolveCollision", (t) =>
	t.field({
		type: WorkerPayload,
		description: "Settles a worker that is held because of a collision; it gets its answer when it asks again. Role: operator.",
		args: { workerId: t.arg.id({ required: true }), verdict: t.arg({ type: CollisionVerdictEnum, required: true }) },
		resolve: async (_, { workerId, verdict }, ctx) => ({
			worker: await resolveCollision(ctx.deps, ctx.as("operator"), workerId, verdict),
		}),
	}),
);
