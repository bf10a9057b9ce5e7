import { createHash, createHmac } from "node:crypto";

/** How far a proof's timestamp may be from the server's clock, in milliseconds (A6). */
export const clockToleranceMs = 300_000;

/** What an auto-enrollment proof is over (DESIGN.md, HMAC transcript; A6). No value may hold a line feed. */
export interface AutoEnrollmentTranscript {
	/** The tenant's slug. */
	readonly tenant: string;
	readonly enrollmentId: string;
	readonly name: string;
	/** Null when the worker leaves the choice to the server. */
	readonly requestedId: string | null;
	readonly machineUid: string;
	readonly nonce: string;
	/** RFC 3339, exactly as sent. */
	readonly timestamp: string;
}

/**
 * HMAC-SHA-256 of the transcript under the auto-enrollment secret, in lower-case hex: what the worker sends in place of the secret.
 * Throws RangeError for a value that holds a line feed: two transcripts could then be one text.
 */
export function autoEnrollmentMac(secret: string, transcript: AutoEnrollmentTranscript): string {
	const { tenant, enrollmentId, name, requestedId, machineUid, nonce, timestamp } = transcript;
	const values = [tenant, enrollmentId, name, requestedId ?? "", machineUid, nonce, timestamp];
	if (values.some((value) => value.includes("\n"))) throw new RangeError("Cannot prove an auto-enrollment: a value holds a line feed");
	return createHmac("sha256", secret)
		.update(["muster-auto-enroll-v1", ...values].join("\n"), "utf8")
		.digest("hex");
}

/**
 * A nonce that names the reply key: `<random>.<SHA-256 of the reply key's base64 text>`. The transcript does not hold the reply key, but it
 * holds the nonce: whoever copies such a request cannot have the answer sealed to a key of theirs.
 * @param random hex digits, 128 random bits or more
 */
export function nonceFor(random: string, replyKey: string): string {
	return `${random}.${createHash("sha256").update(replyKey, "utf8").digest("hex")}`;
}

/** Whether a nonce goes with the reply key it came with: always, unless it names another, or names one and none came. */
export function nonceFits(nonce: string, replyKey: string | null): boolean {
	const named = /^[0-9a-f]+\.([0-9a-f]{64})$/.exec(nonce);
	return named === null || (replyKey !== null && nonceFor("", replyKey) === `.${named[1]}`);
}
