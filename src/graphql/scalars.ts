import { GraphQLError, Kind } from "graphql";
import { builder } from "./builder.ts";

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

builder.scalarType("DateTime", {
	description: "A moment as RFC 3339 text, UTC, milliseconds: `2026-11-21T05:00:00.000Z`.",
	serialize: (at) => new Date(at).toISOString(),
	// Kept as the client wrote it: a signature may be over the very text (A6).
	parseValue: (value) => parseDateTime(value),
	parseLiteral: (node) => parseDateTime(node.kind === Kind.STRING ? node.value : undefined),
});

builder.scalarType("JSON", { description: "Any JSON value.", serialize: (value) => value, parseValue: (value) => value });

function parseDateTime(value: unknown): string {
	if (typeof value === "string" && rfc3339.test(value) && !Number.isNaN(Date.parse(value))) return value;
	throw new GraphQLError(`DateTime must be RFC 3339 text such as 2026-11-21T05:00:00Z, not ${JSON.stringify(value)}`);
}
