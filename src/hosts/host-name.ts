import * as v from "valibot";
import { plainText } from "../lib/plain-text.ts";

/** What a host is called: the name that its worker comes with. */
export const hostName = v.pipe(
	v.string(),
	v.minLength(1, "must not be empty"),
	v.maxLength(253, "must have at most 253 characters"),
	v.regex(plainText, "must not hold control characters"),
	v.check((text) => text.trim() === text, "must not begin or end with a space: the worker's node name has to be the same to the letter"),
);
