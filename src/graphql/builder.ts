import SchemaBuilder from "@pothos/core";
import ComplexityPlugin from "@pothos/plugin-complexity";
import DataloaderPlugin from "@pothos/plugin-dataloader";
import RelayPlugin from "@pothos/plugin-relay";
import { idKind } from "../lib/id.ts";
import type { GraphQLContext } from "./context.ts";
import { limits, tooExpensive } from "./limits.ts";

/** The one schema builder: configuration only, types register on it from their own files. */
export const builder = new SchemaBuilder<{
	Context: GraphQLContext;
	DefaultFieldNullability: false;
	DefaultEdgesNullability: { list: false; items: false };
	DefaultNodeNullability: false;
	Connection: { totalCount: () => Promise<number> };
	Scalars: {
		ID: { Input: string; Output: string };
		/** Milliseconds since the epoch on the way out, RFC 3339 text as the client wrote it on the way in. */
		DateTime: { Input: string; Output: number };
		JSON: { Input: unknown; Output: unknown };
	};
}>({
	plugins: [RelayPlugin, DataloaderPlugin, ComplexityPlugin],
	defaultFieldNullability: false,
	relay: {
		clientMutationId: "omit",
		cursorType: "String",
		// The connection has counted its rows: its two ways to list them must not count them again.
		edgesFieldOptions: { nullable: { list: false, items: false }, complexity: { field: 1, multiplier: 1 } },
		nodeFieldOptions: { nullable: false },
		nodesOnConnection: { complexity: { field: 1, multiplier: 1 } },
		// Ids carry their type in their prefix, so they are node ids as they are; an id of an admin's own choosing is a worker's.
		encodeGlobalID: (_typename, id) => String(id),
		decodeGlobalID: (id) => ({ typename: typenames[idKind(id) ?? "worker"] ?? "Worker", id }),
		nodeQueryOptions: { description: "Anything that has an id, or null when there is none that you may see. Role: viewer." },
		nodesQueryOptions: false,
	},
	complexity: {
		defaultComplexity: 1,
		defaultListMultiplier: 10,
		limit: ({ isKnown }) => (isKnown === true ? {} : { complexity: limits.complexity, depth: limits.depth, breadth: limits.breadth }),
		complexityError: (kind, result) => tooExpensive(kind, result),
	},
});

const typenames: Partial<Record<NonNullable<ReturnType<typeof idKind>>, string>> = {
	site: "Site",
	fleet: "Fleet",
	key: "SiteKey",
	enrollmentKey: "EnrollmentKey",
	credential: "ApiKey",
	worker: "Worker",
	host: "Host",
	attempt: "EnrollmentAttempt",
	alert: "Alert",
	audit: "AuditEntry",
	webhook: "Webhook",
	command: "Command",
	stack: "Stack",
};

builder.queryType({});
builder.mutationType({});
builder.subscriptionType({});
builder.globalConnectionField("totalCount", (t) =>
	t.int({ description: "How many there are in all, whatever the page.", resolve: (connection) => connection.totalCount() }),
);
