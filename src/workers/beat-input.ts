import * as v from "valibot";
import { parseInput } from "../input.ts";
import { normalizeAddress } from "../lib/address.ts";
import { plainText } from "../lib/plain-text.ts";
import type { BeatInput } from "./heartbeats.ts";

const finite = v.optional(v.nullable(v.pipe(v.number(), v.finite("must be a finite number"), v.minValue(0, "must not be negative"))), null);
/** What the mesh client says of itself: at most a page of it, and addresses that are addresses. */
const mesh = v.object({
	state: said(64),
	addresses: v.pipe(
		v.array(
			v.pipe(
				v.string(),
				v.check(
					(text) => normalizeAddress(text) !== undefined,
					({ input }) => `"${String(input).slice(0, 60)}" is no IP address`,
				),
			),
		),
		v.maxLength(16, "must hold at most 16 addresses"),
	),
	nodeName: v.optional(v.nullable(said(253)), null),
});
const schema = v.object({
	bootId: v.optional(v.nullable(v.pipe(v.string(), v.regex(/^[A-Za-z0-9-]{1,64}$/, "must be 1 to 64 letters, digits and dashes"))), null),
	sequence: v.optional(v.nullable(v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must not be negative"))), null),
	load1: finite,
	memoryUsedBytes: finite,
	uptimeSeconds: finite,
	version: v.optional(v.nullable(said(64)), null),
	mesh: v.optional(v.nullable(mesh), null),
});

function said(max: number) {
	return v.pipe(
		v.string(),
		v.minLength(1, "must not be empty"),
		v.maxLength(max, `must have at most ${max} characters`),
		v.regex(plainText, "must not hold control characters"),
	);
}

/** Checks a heartbeat's figures; BAD_USER_INPUT names each that cannot be stored. */
export function parseBeat(raw: unknown): BeatInput {
	return parseInput("take the heartbeat", schema, raw);
}
