import * as v from "valibot";
import { MusterError } from "./errors.ts";

/** Checks an operator's input; BAD_USER_INPUT lists every problem, each naming its field and rule, and the fields at fault. */
export function parseInput<const TSchema extends v.GenericSchema>(action: string, schema: TSchema, input: unknown): v.InferOutput<TSchema> {
	const result = v.safeParse(schema, input);
	if (result.success) return result.output;
	const fields = result.issues.map((issue) => v.getDotPath(issue) ?? "input");
	const problems = result.issues.map((issue, index) => `${fields[index]} ${issue.message}`);
	throw new MusterError("BAD_USER_INPUT", `Cannot ${action}: ${problems.join("; ")}`, { fields });
}
