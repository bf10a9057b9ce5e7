import { type JoinedNode, meshNodePlaces, placeOf } from "../mesh/join.ts";
import { nodesOf, pageOfNodes } from "../mesh/nodes.ts";
import type { RealMesh } from "../mesh/port.ts";
import { builder } from "./builder.ts";
import { connection, pageComplexity } from "./page.ts";
import { HostRef } from "./refs.ts";

const MeshNodePlaceEnum = builder.enumType("MeshNodePlace", {
	description: "Who knows of a node: the mesh and a worker, the mesh alone, or a worker alone.",
	values: meshNodePlaces,
});

const MeshNodeType = builder.objectRef<JoinedNode>("MeshNode").implement({
	description: "A machine on the mesh, as the mesh lists it and as its worker reports it.",
	fields: (t) => ({
		name: t.string({ resolve: ({ listed, reported }) => listed?.name ?? reported?.nodeName ?? reported?.hostName ?? "" }),
		place: t.expose("place", { type: MeshNodePlaceEnum }),
		host: t.field({ type: HostRef, nullable: true, resolve: ({ hostId }) => hostId }),
		nodeId: t.string({ nullable: true, description: "The mesh's own id.", resolve: ({ listed }) => listed?.id ?? null }),
		addresses: t.stringList({ description: "As the mesh lists them.", resolve: ({ listed }) => [...(listed?.addresses ?? [])] }),
		reportedAddresses: t.stringList({ description: "As the worker says.", resolve: ({ reported }) => reported?.addresses ?? [] }),
		addressesDiffer: t.exposeBoolean("addressesDiffer", { description: "Both sides know of it, and name other addresses." }),
		online: t.boolean({ nullable: true, description: "As the mesh sees it.", resolve: ({ listed }) => listed?.online ?? null }),
		lastSeenAt: t.field({ type: "DateTime", nullable: true, resolve: ({ listed }) => listed?.lastSeenAt ?? null }),
		reportedState: t.string({
			nullable: true,
			description: "The mesh client's own word.",
			resolve: ({ reported }) => reported?.state ?? null,
		}),
		reportedAt: t.field({ type: "DateTime", nullable: true, resolve: ({ reported }) => reported?.at ?? null }),
	}),
});

const MeshType = builder.objectRef<RealMesh>("Mesh").implement({
	description: "The mesh that host tokens let onto.",
	fields: (t) => ({
		provider: t.exposeString("provider"),
		controlUrl: t.exposeString("controlUrl", { description: "Where workers are told to log in." }),
		answers: t.boolean({ description: "Whether it answered when this server last asked it.", resolve: (mesh) => mesh.state().ok }),
		reason: t.string({ nullable: true, description: "Why it did not.", resolve: (mesh) => mesh.state().reason ?? null }),
	}),
});

builder.queryField("mesh", (t) =>
	t.field({
		type: MeshType,
		nullable: true,
		description: "Null: this server has none (MUSTER_MESH). Role: viewer.",
		resolve: (_, __, ctx) => {
			ctx.as("viewer");
			return ctx.deps.mesh.provider === "none" ? null : ctx.deps.mesh;
		},
	}),
);

builder.queryField("meshNodes", (t) =>
	t.connection(
		{
			type: MeshNodeType,
			description:
				"The nodes of the mesh by name, as both sides see them. SERVICE_UNAVAILABLE while the mesh does not answer. Role: viewer.",
			complexity: pageComplexity,
			args: { hostId: t.arg.id({ description: "Those of this host alone." }) },
			resolve: async (_, args, ctx) => {
				const all = await nodesOf(ctx.deps, ctx.as("viewer").tenantId);
				const nodes = args.hostId == null ? all : all.filter(({ hostId }) => hostId === args.hostId);
				return connection(
					args,
					placeOf,
					async (page) => pageOfNodes(nodes, page),
					async () => nodes.length,
				);
			},
		},
		{ name: "MeshNodeConnection" },
		{ name: "MeshNodeEdge" },
	),
);
