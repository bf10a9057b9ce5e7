import * as v from "valibot";
import type { EnrollmentMethod } from "../protocol/codes.ts";
import { isReplyKey } from "../protocol/seal.ts";
import { idKind } from "../lib/id.ts";
import { madePlain, plainText } from "../lib/plain-text.ts";

/** Names the field, the value (shortened) and the rule. */
function text(name: string, max: number) {
	return v.pipe(
		v.string(`${name} must be text`),
		v.minLength(1, `${name} must not be empty`),
		v.maxLength(max, `${name} must have at most ${max} characters`),
		v.regex(plainText, `${name} must not hold control characters`),
	);
}

function optional<TSchema extends v.GenericSchema<string, string>>(schema: TSchema) {
	return v.optional(v.nullable(schema), null);
}

const label = v.object({ key: text("worker.labels.key", 63), value: text("worker.labels.value", 255) });

const worker = v.object({
	name: text("worker.name", 253),
	requestedId: optional(
		v.pipe(
			v.string(),
			v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "worker.requestedId must be 1 to 63 letters, digits, dots, dashes or underscores"),
			v.check((id) => (idKind(id) ?? "worker") === "worker", "worker.requestedId must not begin like the id of something else"),
		),
	),
	hostname: optional(text("worker.hostname", 253)),
	machineUid: v.pipe(
		v.string(),
		v.regex(
			/^[A-Za-z0-9][A-Za-z0-9._:-]{7,127}$/,
			"worker.machineUid must be 8 to 128 letters, digits, dots, colons, dashes or underscores",
		),
	),
	platform: optional(text("worker.platform", 64)),
	version: optional(text("worker.version", 64)),
	labels: v.optional(v.nullable(v.pipe(v.array(label), v.maxLength(64, "worker.labels must hold at most 64 labels"))), null),
});

const credential = v.object({
	siteKey: v.optional(
		v.object({
			siteCode: text("credential.siteKey.siteCode", 63),
			key: v.string(),
			tenant: optional(text("credential.siteKey.tenant", 63)),
		}),
	),
	enrollmentKey: v.optional(v.string()),
	hostToken: v.optional(v.object({ token: v.string(), sharedSecret: v.string() })),
	autoEnrollment: v.optional(
		v.object({
			tenant: optional(text("credential.autoEnrollment.tenant", 63)),
			nonce: v.pipe(
				v.string(),
				v.regex(
					/^[\x21-\x7e]{8,128}$/,
					"credential.autoEnrollment.nonce must be 8 to 128 visible ASCII characters, best 32 random hex digits",
				),
			),
			timestamp: v.pipe(
				v.string("credential.autoEnrollment.timestamp must be text"),
				v.check((text) => !Number.isNaN(Date.parse(text)), "credential.autoEnrollment.timestamp must be RFC 3339 text"),
			),
			mac: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "credential.autoEnrollment.mac must be 64 lower-case hex digits")),
		}),
	),
});

const input = v.object({
	enrollmentId: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, "enrollmentId must be 128 random bits as 32 lower-case hex digits")),
	credential,
	worker,
	replyKey: optional(v.pipe(v.string(), v.check(isReplyKey, "replyKey must be a 32-byte X25519 public key in base64"))),
});

/** An enroll request whose form is right. */
export type EnrollInput = v.InferOutput<typeof input>;

/** Checks the form of an enroll request (DESIGN.md, parse); the problems name each field at fault and its rule. */
export function parseEnroll(
	raw: unknown,
): { readonly ok: true; readonly input: EnrollInput } | { readonly ok: false; readonly problems: readonly string[] } {
	const result = v.safeParse(input, raw);
	return result.success ? { ok: true, input: result.output } : { ok: false, problems: result.issues.map(({ message }) => message) };
}

/** Which way in a request takes, even when its form is wrong. */
export function methodOf(raw: { readonly credential?: object | null }): EnrollmentMethod {
	const given = raw.credential ?? {};
	if ("enrollmentKey" in given) return "ENROLLMENT_KEY";
	if ("hostToken" in given) return "HOST_TOKEN";
	return "autoEnrollment" in given ? "AUTO_ENROLLMENT" : "SITE_KEY";
}

/** What an unproven or malformed claim said, cut to what may be stored. */
export function claimed(raw: unknown): {
	readonly claimedName: string | null;
	readonly hostname: string | null;
	readonly machineUid: string | null;
} {
	const facts = (raw as { worker?: Record<string, unknown> } | null)?.worker ?? {};
	return { claimedName: clean(facts.name), hostname: clean(facts.hostname), machineUid: clean(facts.machineUid) };
}

function clean(value: unknown): string | null {
	return typeof value === "string" ? madePlain(value, 253) : null;
}
