import * as v from "valibot";
import { parseInput } from "../input.ts";
import { plainText } from "../lib/plain-text.ts";
import type { BeatInput } from "./heartbeats.ts";

const finite = v.optional(v.nullable(v.pipe(v.number(), v.finite("must be a finite number"), v.minValue(0, "must not be negative"))), null);
const schema = v.object({
	bootId: v.optional(v.nullable(v.pipe(v.string(), v.regex(/^[A-Za-z0-9-]{1,64}$/, "must be 1 to 64 letters, digits and dashes"))), null),
	sequence: v.optional(v.nullable(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must not be negative"))), null),
	load1: finite,
	memoryUsedBytes: finite,
	uptimeSeconds: finite,
	version: v.optional(
		v.nullable(
			v.pipe(
				v.string(),
				v.minLength(1, "must not be empty"),
				v.maxLength(64, "must have at most 64 characters"),
				v.regex(plainText, "must not hold control characters"),
			),
		),
		null,
	),
});

/** Checks a heartbeat's figures; BAD_USER_INPUT names each that cannot be stored. */
export function parseBeat(raw: unknown): BeatInput {
	return parseInput("take the heartbeat", schema, raw);
}
