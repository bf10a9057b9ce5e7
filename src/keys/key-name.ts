import * as v from "valibot";
import { plainText } from "../lib/plain-text.ts";

/** What people call a key. */
export const keyName = v.pipe(
	v.string(),
	v.trim(),
	v.minLength(1, "must not be empty"),
	v.maxLength(200, "must have at most 200 characters"),
	v.regex(plainText, "must not hold control characters"),
);
