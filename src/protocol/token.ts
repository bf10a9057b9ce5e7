import { createHash, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

/** The kinds of key that carry the `mst_` form. An auto-enrollment secret is the admin's own text and has none. */
export const tokenKinds = ["site", "enroll", "host", "worker"] as const;
export type TokenKind = (typeof tokenKinds)[number];

/** A key as presented: what its text says before anything was looked up. */
export interface ParsedToken {
	readonly kind: TokenKind;
	/** Public and indexed: 12 hex digits. */
	readonly selector: string;
	/** 64 hex digits, 256 random bits. */
	readonly secret: string;
}

const form = /^mst_(site|enroll|host|worker)_([0-9a-f]{12})_([0-9a-f]{64})([0-9a-f]{8})$/;

/**
 * Writes `mst_<kind>_<selector 12 hex>_<secret 64 hex><crc32 8 hex>` (DESIGN.md, Keys).
 * @param entropy 38 random bytes: 6 for the selector, 32 for the secret
 */
export function mintToken(kind: TokenKind, entropy: Uint8Array): ParsedToken & { readonly text: string } {
	if (entropy.length !== 38) throw new RangeError(`Cannot mint a key from ${entropy.length} bytes: 38 are needed`);
	const hex = Buffer.from(entropy).toString("hex");
	const [selector, secret] = [hex.slice(0, 12), hex.slice(12)];
	return { kind, selector, secret, text: `${body(kind, selector, secret)}${checksum(kind, selector, secret)}` };
}

/** Reads a presented key; undefined when prefix, length, alphabet or checksum is wrong, so that typing errors never reach the database. */
export function parseToken(text: string): ParsedToken | undefined {
	const match = form.exec(text);
	if (match === null) return undefined;
	const [, kind, selector, secret, sum] = match as unknown as [string, TokenKind, string, string, string];
	return sum === checksum(kind, selector, secret) ? { kind, selector, secret } : undefined;
}

/** The kind a key's prefix claims, even when the rest is malformed: lets an error name what the user meant. */
export function claimedKind(text: string): TokenKind | undefined {
	return tokenKinds.find((kind) => text.startsWith(`mst_${kind}_`));
}

/** First four hex digits of SHA-256 of the secret part, upper case: `A1B2`. Shown to people, safe to show. */
export function fingerprint(secret: string): string {
	return fingerprintOf(sha256(secret));
}

/** The same of the hash. */
export function fingerprintOf(hash: Buffer): string {
	return hash.toString("hex", 0, 2).toUpperCase();
}

/** SHA-256 of a text. */
export function sha256(text: string): Buffer {
	return createHash("sha256").update(text, "utf8").digest();
}

/** Whether two byte strings are equal, in time that depends on neither's content; unequal lengths are unequal. */
export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
	// timingSafeEqual throws on unequal lengths; hashing both first makes the lengths equal and hides them too.
	return timingSafeEqual(createHash("sha256").update(left).digest(), createHash("sha256").update(right).digest());
}

function body(kind: TokenKind, selector: string, secret: string): string {
	return `mst_${kind}_${selector}_${secret}`;
}

function checksum(kind: TokenKind, selector: string, secret: string): string {
	return (crc32(body(kind, selector, secret)) >>> 0).toString(16).padStart(8, "0");
}
