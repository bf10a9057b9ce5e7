import type { GraphQLSchema } from "graphql";
import { lexicographicSortSchema, printSchema } from "graphql";
import { builder } from "./builder.ts";
import "./scalars.ts";
import "./site.ts";
import "./worker.ts";
import "./host.ts";
import "./attempt.ts";
import "./alert.ts";
import "./webhook.ts";
import "./audit.ts";
import "./enrollment.ts";
import "./enrollment-key.ts";
import "./key-check.ts";
import "./api-key.ts";
import "./auto-enrollment.ts";
import "./onboarding.ts";
import "./collision.ts";
import "./tenant.ts";
import "./vitals.ts";
import "./mesh.ts";
import "./command.ts";
import "./command-worker.ts";
import "./fuse.ts";
import "./command-output.ts";
import "./command-actions.ts";
import "./inventory.ts";
import "./inventory-worker.ts";
import "./stack.ts";

/** The executable schema, built from the types that the imports above registered. */
export const schema: GraphQLSchema = builder.toSchema();

/** The schema as sorted SDL: what stands in schema.graphql. */
export function printedSchema(): string {
	return `${printSchema(lexicographicSortSchema(schema))}\n`;
}
