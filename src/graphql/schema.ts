import type { GraphQLSchema } from "graphql";
import { lexicographicSortSchema, printSchema } from "graphql";
import { builder } from "./builder.ts";
import "./scalars.ts";
import "./site.ts";
import "./worker.ts";
import "./host.ts";
import "./attempt.ts";
import "./alert.ts";
import "./audit.ts";
import "./enrollment.ts";

/** The executable schema, built from the types that the imports above registered. */
export const schema: GraphQLSchema = builder.toSchema();

/** The schema as sorted SDL: what stands in schema.graphql. */
export function printedSchema(): string {
	return `${printSchema(lexicographicSortSchema(schema))}\n`;
}
