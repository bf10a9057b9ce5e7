/** Writes schema.graphql from the code, and the dashboard's types from the same. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { printedSchema, schema } from "../src/graphql/schema.ts";
import { schemaTypes } from "./schema-types.ts";

const root = join(import.meta.dirname, "..");
writeFileSync(join(root, "schema.graphql"), printedSchema());
writeFileSync(join(root, "dashboard", "api", "schema-types.ts"), schemaTypes(schema));
