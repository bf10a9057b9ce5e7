import { createHmac } from "node:crypto";
import type { Deps } from "../deps.ts";
import { keyBySelector, type KeyToProve } from "../keys/store.ts";
import type { KeyKind } from "../keys/key.ts";
import { boundedMap } from "../lib/bounded-map.ts";
import { singleFlight } from "../lib/single-flight.ts";
import type { EnrollmentMethod, Refusal } from "../protocol/codes.ts";
import { fingerprint, parseToken, sameBytes, sha256, type TokenKind } from "../protocol/token.ts";
import type { EnrollInput } from "./input.ts";

/** What the proof of a presented key yields. It grants nothing: whether the key may be used is decided under lock. */
export type Proof =
	| { readonly kind: "proven"; readonly keyId: string; readonly tenantId: string }
	| { readonly kind: "failed"; readonly why: Extract<Refusal, "invalid_token" | "overloaded" | "not_configured"> };

/** Proves keys: constant time for a known key, one text and one cost for unknown, malformed and wrong. */
export interface Prover {
	prove(credential: EnrollInput["credential"]): Promise<Proof>;
}

/** What a proven key is remembered as. */
interface Proven extends KeyToProve {
	readonly kind: KeyKind;
}

/** Keys remembered as proven: at 300 bytes each about 3 MB. A fleet uses a handful. */
const provenMax = 10_000;
const invalid: Proof = { kind: "failed", why: "invalid_token" };

/**
 * Makes a prover. A key that was proven once is remembered as HMAC(random key of this process, presented text), so that the hot
 * path costs one HMAC; first sights of one key that arrive together share one Argon2 (single flight). The memory holds no secret
 * and cannot grant anything: life and uses are decided under lock.
 */
export function createProver(deps: Pick<Deps, "db" | "hasher" | "random">): Prover {
	const memoryKey = deps.random.bytes(32);
	const proven = boundedMap<Proven>(provenMax);
	const once = singleFlight<Proven | "wrong" | "saturated">();

	async function firstSight(kind: TokenKind & KeyKind, presented: string): Promise<Proven | "wrong" | "saturated"> {
		const token = parseToken(presented);
		if (token === undefined || token.kind !== kind) return "wrong";
		const key = await keyBySelector(deps.db.sql, kind, token.selector);
		// The fingerprint is public: comparing it first gives away nothing and keeps Argon2 away from garbage, so that unknown and wrong cost the same.
		if (key === undefined || key.hint !== fingerprint(token.secret)) return "wrong";
		const right =
			kind === "site"
				? await deps.hasher.verify(key.verifier, token.secret)
				: sameBytes(Buffer.from(key.verifier, "hex"), sha256(token.secret));
		if (right === "saturated") return "saturated";
		return right ? { ...key, kind } : "wrong";
	}

	async function proveToken(kind: TokenKind & KeyKind, presented: string, belongs: (key: KeyToProve) => boolean): Promise<Proof> {
		const memory = createHmac("sha256", memoryKey).update(presented).digest("base64");
		let key = proven.get(memory);
		if (key === undefined) {
			const result = await once(memory, () => firstSight(kind, presented));
			if (result === "saturated") return { kind: "failed", why: "overloaded" };
			if (result === "wrong") return invalid;
			proven.set(memory, result);
			key = result;
		}
		return key.kind === kind && belongs(key) ? { kind: "proven", keyId: key.id, tenantId: key.tenantId } : invalid;
	}

	return {
		prove({ siteKey, enrollmentKey }) {
			if (siteKey !== undefined) {
				const { key, siteCode, tenant } = siteKey;
				return proveToken("site", key, (found) => found.siteCode === siteCode && found.tenantSlug === (tenant ?? "default"));
			}
			if (enrollmentKey !== undefined) return proveToken("enroll", enrollmentKey, () => true);
			// Host tokens and auto-enrollment have nothing configured in this version; the table's answer for that is not_configured.
			return Promise.resolve({ kind: "failed", why: "not_configured" });
		},
	};
}

/** The place a claim names before it is proven, for its record. */
export function claimedPlace({ siteKey, autoEnrollment }: EnrollInput["credential"]): {
	readonly tenant: string | null;
	readonly siteCode: string | null;
} {
	// The other kinds name no tenant.
	const named = siteKey ?? autoEnrollment;
	return { tenant: named === undefined ? null : (named.tenant ?? "default"), siteCode: siteKey?.siteCode ?? null };
}

/** The limiter's scope of a request: the site for a site key, else the way in. */
export function limitScope(method: EnrollmentMethod, credential: EnrollInput["credential"]): string {
	const { siteKey, enrollmentKey, hostToken } = credential;
	if (siteKey !== undefined) return `site ${siteKey.tenant ?? "default"}/${siteKey.siteCode}`;
	const selector = parseToken(enrollmentKey ?? hostToken?.token ?? "")?.selector;
	return selector === undefined ? method : `${method} ${selector}`;
}
