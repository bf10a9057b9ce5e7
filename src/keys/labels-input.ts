import * as v from "valibot";
import { plainText } from "../lib/plain-text.ts";

function part(max: number) {
	return v.pipe(
		v.string(),
		v.minLength(1, "must not be empty"),
		v.maxLength(max, `must have at most ${max} characters`),
		v.regex(plainText, "must not hold control characters"),
	);
}

/** Labels as an admin gives them; the same limits as a worker's own. */
export const labelsInput = v.optional(
	v.nullable(v.pipe(v.array(v.object({ key: part(63), value: part(255) })), v.maxLength(64, "must hold at most 64 labels"))),
	null,
);
