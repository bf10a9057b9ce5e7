/** Writes schema.graphql from the code. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { printedSchema } from "../src/graphql/schema.ts";

writeFileSync(join(import.meta.dirname, "..", "schema.graphql"), printedSchema());
