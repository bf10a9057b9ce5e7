import { createHmac } from "node:crypto";
import { secretPlace } from "../auto-enrollment/auto-enrollment.ts";
import { autoSecrets } from "../auto-enrollment/store.ts";
import type { Deps } from "../deps.ts";
import type { KeyKind } from "../keys/key.ts";
import { keysBySelectors, type KeyToProve } from "../keys/store.ts";
import { isConnectionFault } from "../db/faults.ts";
import { batcher } from "../lib/batcher.ts";
import { boundedMap } from "../lib/bounded-map.ts";
import { VaultError } from "../keys/vault.ts";
import { singleFlight } from "../lib/single-flight.ts";
import { autoEnrollmentMac, nonceFits } from "../protocol/auto-enroll.ts";
import type { Refusal } from "../protocol/codes.ts";
import { fingerprint, parseToken, sameBytes, sha256, type TokenKind } from "../protocol/token.ts";
import type { EnrollInput } from "./input.ts";
import { batchMax, waitingMax } from "./limits.ts";
import type { ProvenRequest } from "./request.ts";

/** What the proof of a presented key yields. It grants nothing: whether the key may be used is decided under lock. */
export type Proof =
	| { readonly kind: "proven"; readonly keyId: string; readonly tenantId: string; readonly proof: ProvenRequest["proof"] }
	| {
			readonly kind: "failed";
			readonly why: Extract<Refusal, "invalid_token" | "bad_secret" | "enrollment_disabled" | "overloaded" | "not_configured">;
	  };

/** Proves keys: constant time for a known key, one text and one cost for unknown, malformed and wrong. */
export interface Prover {
	prove(input: EnrollInput): Promise<Proof>;
	/** The same for a key alone, whatever site or secret would have to come with it: for an admin who asks what it would do. */
	proveToken(kind: EnrollKind, presented: string): Promise<Proof>;
}

/** The kinds of token that let a worker in. */
export type EnrollKind = TokenKind & KeyKind;

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
export function createProver(deps: Pick<Deps, "db" | "hasher" | "random" | "vault" | "clock" | "settings" | "log">): Prover {
	const memoryKey = deps.random.bytes(32);
	const proven = boundedMap<Proven>(provenMax);
	const once = singleFlight<Proven | "wrong" | "saturated">();
	// Whoever guesses asks for a new selector each time: those who come together are looked up together.
	const lookUp = batcher<{ readonly kind: EnrollKind; readonly selector: string }, KeyToProve | undefined>(
		(asked) => keysBySelectors(deps.db.sql, asked),
		{ batchMax, waitingMax, shared: isConnectionFault },
	);

	async function firstSight(kind: EnrollKind, presented: string): Promise<Proven | "wrong" | "saturated"> {
		const token = parseToken(presented);
		if (token === undefined || token.kind !== kind) return "wrong";
		const key = await lookUp.add({ kind, selector: token.selector });
		// The fingerprint is public: comparing it first gives away nothing and keeps Argon2 away from garbage, so that unknown and wrong cost the same.
		if (key === undefined || key.hint !== fingerprint(token.secret)) return "wrong";
		const right =
			kind === "site"
				? await deps.hasher.verify(key.verifier, token.secret)
				: sameBytes(Buffer.from(key.verifier, "hex"), sha256(token.secret));
		if (right === "saturated") return "saturated";
		return right ? { ...key, kind } : "wrong";
	}

	async function proveToken(kind: EnrollKind, presented: string, belongs: (key: KeyToProve) => boolean = () => true): Promise<Proof> {
		const memory = createHmac("sha256", memoryKey).update(presented).digest("base64");
		let key = proven.get(memory);
		if (key === undefined) {
			const result = await once(memory, () => firstSight(kind, presented));
			if (result === "saturated") return { kind: "failed", why: "overloaded" };
			if (result === "wrong") return invalid;
			proven.set(memory, result);
			key = result;
		}
		return key.kind === kind && belongs(key) ? { kind: "proven", keyId: key.id, tenantId: key.tenantId, proof: null } : invalid;
	}

	/** H4: the shared secret first, in constant time, before the database is touched. */
	async function proveHost({ token, sharedSecret }: { readonly token: string; readonly sharedSecret: string }): Promise<Proof> {
		const expected = deps.settings.sharedSecret;
		if (expected === null) return { kind: "failed", why: "not_configured" };
		if (!sameBytes(Buffer.from(sharedSecret, "utf8"), Buffer.from(expected.reveal(), "utf8"))) return { kind: "failed", why: "bad_secret" };
		return proveToken("host", token);
	}

	/** A6: the HMAC against every secret that is valid now; a tenant that does not exist answers like one that has auto-enrollment off. */
	async function proveAuto({ enrollmentId, worker, replyKey, credential: { autoEnrollment } }: EnrollInput): Promise<Proof> {
		if (autoEnrollment === undefined) return invalid;
		const { nonce, timestamp, mac } = autoEnrollment;
		const tenant = autoEnrollment.tenant ?? "default";
		const found = await autoSecrets(deps.db.sql, { slug: tenant }, deps.clock.now());
		if (found?.enabled !== true) return { kind: "failed", why: "enrollment_disabled" };
		const transcript = {
			tenant,
			enrollmentId,
			name: worker.name,
			requestedId: worker.requestedId,
			machineUid: worker.machineUid,
			nonce,
			timestamp,
		};
		const given = Buffer.from(mac, "hex");
		let right: (typeof found.secrets)[number] | undefined;
		try {
			right = found.secrets.find(({ sealed }) => {
				const secret = deps.vault.open(sealed, secretPlace(found.tenantId));
				return sameBytes(Buffer.from(autoEnrollmentMac(secret, transcript), "hex"), given);
			});
		} catch (error) {
			if (!(error instanceof VaultError)) throw error;
			deps.log.error("enroll.vault_closed", { error });
			return { kind: "failed", why: "not_configured" };
		}
		if (right === undefined || !nonceFits(nonce, replyKey)) return { kind: "failed", why: "bad_secret" };
		return { kind: "proven", keyId: right.keyId, tenantId: found.tenantId, proof: { nonce, timestampMs: Date.parse(timestamp) } };
	}

	return {
		proveToken: (kind, presented) => proveToken(kind, presented),
		prove(input) {
			const { siteKey, enrollmentKey, hostToken } = input.credential;
			if (siteKey !== undefined) {
				const { key, siteCode, tenant } = siteKey;
				return proveToken("site", key, (found) => found.siteCode === siteCode && found.tenantSlug === (tenant ?? "default"));
			}
			if (enrollmentKey !== undefined) return proveToken("enroll", enrollmentKey);
			return hostToken === undefined ? proveAuto(input) : proveHost(hostToken);
		},
	};
}
