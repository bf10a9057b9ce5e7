import { sharedApiKey } from "../auto-enrollment/auto-enrollment.ts";
import type { Deps } from "../deps.ts";
import { VaultError } from "../keys/vault.ts";
import { batcher, QueueFull } from "../lib/batcher.ts";
import { isConnectionFault } from "../db/faults.ts";
import { type EnrollmentMethod, type Refusal, refusalStatus } from "../protocol/codes.ts";
import { seal } from "../protocol/seal.ts";
import { fingerprintOf, mintToken, sha256 } from "../protocol/token.ts";
import { giveBack } from "../mesh/keys.ts";
import { enrollBatches } from "./batch.ts";
import { claimed, type EnrollInput, methodOf, parseEnroll } from "./input.ts";
import type { Limiter } from "./limiter.ts";
import { batchMax, overloadedRetrySeconds, waitingMax } from "./limits.ts";
import { refusalMessage } from "./messages.ts";
import { withMeshTicket } from "./mesh-ticket.ts";
import { type ClaimedPlace, claimedPlace, limitScope } from "./place.ts";
import { namedPlaces } from "./place-store.ts";
import type { Prover } from "./prove.ts";
import type { FreshCredential, FreshMeshKey, ProvenRequest } from "./request.ts";
import type { EarlyRefusal, EnrollResult } from "./result.ts";

/** The one path in (DESIGN.md): parse → limit → prove → mesh key → batch (load under lock, decide, apply) → reply. */
export interface Enroller {
	/**
	 * Answers one enroll request. Safe to repeat with the same enrollment id: one worker, one use, the same sealed reply (G6).
	 * Every outcome, refusals included, is an attempt row, an audit line, a metric and an event before it is answered.
	 */
	enroll(raw: object, sourceAddress: string): Promise<EnrollResult>;
}

const malformedScope = "malformed";
/** A proven worker with a wrong clock is no guesser, and one that came at a bad moment even less. */
const blameless: ReadonlySet<Refusal> = new Set(["clock_skew", "overloaded", "mesh_mint_failed"]);
/** Makes the pipeline of one server process. */
export function createEnroller(deps: Deps, prover: Prover, limiter: Limiter): Enroller {
	const batches = enrollBatches(deps);
	const places = batcher((asked: readonly ClaimedPlace[]) => namedPlaces(deps.db.sql, asked), {
		batchMax,
		waitingMax,
		shared: isConnectionFault,
	});

	async function refuse(
		raw: object,
		source: string,
		method: EnrollmentMethod,
		why: Refusal,
		detail: string | null,
		extra: Partial<EarlyRefusal>,
	): Promise<EnrollResult> {
		const refusal: EarlyRefusal = {
			reason: why,
			message: detail ?? refusalMessage(why),
			retryAfterSeconds: refusalStatus[why] >= 502 ? overloadedRetrySeconds : null,
			method,
			tenantId: null,
			siteId: null,
			hostId: null,
			keyId: null,
			sourceAddress: source,
			...claimed(raw),
			lockout: null,
			...extra,
		};
		return batches.add({ kind: "refused", refusal });
	}

	/** The verdict. A mesh key that it does not give out goes back, whatever happens (H6). */
	async function decided(request: ProvenRequest): Promise<EnrollResult> {
		let given: FreshMeshKey | null = null;
		try {
			const result = await batches.add({ kind: "proven", request });
			if (result.kind === "enrolled") given = result.mesh;
			return result;
		} finally {
			if (request.mesh.kind === "minted" && given !== request.mesh.key) await giveBack(deps, request.mesh.id);
		}
	}

	async function attempt(raw: object, source: string, method: EnrollmentMethod, arrivedAt: number): Promise<EnrollResult> {
		const parsed = parseEnroll(raw);
		if (!parsed.ok) {
			// Malformed requests have a scope of their own: a flood of them must not shut out the workers behind the same address.
			const gate = limiter.check(malformedScope, source);
			if (gate.kind === "closed") return refuse(raw, source, method, gate.why, null, { retryAfterSeconds: gate.retryAfterSeconds });
			limiter.refused(malformedScope, source, false);
			return refuse(raw, source, method, "bad_request", `Cannot enroll: ${parsed.problems.join("; ")}`, {});
		}
		const { input } = parsed;
		const named = () => places.add(claimedPlace(input.credential));
		const scope = limitScope(method, input.credential);
		const gate = limiter.check(scope, source);
		if (gate.kind === "closed")
			return refuse(raw, source, method, gate.why, null, { ...(await named()), retryAfterSeconds: gate.retryAfterSeconds });
		if (!deps.settings.externalWorkers) {
			limiter.refused(scope, source, false);
			return refuse(raw, source, method, "enrollment_disabled", null, await named());
		}
		const proof = await prover.prove(input);
		if (proof.kind === "failed") {
			const guess = proof.why === "invalid_token" || proof.why === "bad_secret";
			const began = proof.why !== "overloaded" && limiter.refused(scope, source, guess) && guess;
			if (began) deps.log.warn("enroll.locked_out", { source, scope, method });
			return refuse(raw, source, method, proof.why, null, {
				...(await named()),
				lockout: began ? { scope, lengthMs: limiter.lockoutMs } : null,
			});
		}
		const { tenantId, keyId } = proof;
		const from = { method, tenantId, keyId, proof: proof.proof, sourceAddress: source, arrivedAt };
		const request = await prepare(deps, input, from).catch((error: unknown) => {
			if (!(error instanceof VaultError)) throw error;
			deps.log.error("enroll.vault_closed", { error });
			return "vault closed" as const;
		});
		if (request === "vault closed") return refuse(raw, source, method, "not_configured", null, { tenantId, keyId });
		if (request === "bad reply key")
			return refuse(raw, source, method, "bad_request", "Cannot enroll: replyKey is not a usable X25519 public key", {
				tenantId,
				keyId,
			});
		const ticketed = await withMeshTicket(deps, request);
		if (ticketed.kind === "failed") return refuse(raw, source, method, "mesh_mint_failed", ticketed.why, await named());
		const result = await decided(ticketed.request);
		if (result.kind === "rejected" && !blameless.has(result.reason)) limiter.refused(scope, source, false);
		return result;
	}

	return {
		async enroll(raw, sourceAddress) {
			const method = methodOf(raw);
			const result = await attempt(raw, sourceAddress, method, deps.clock.now()).catch((error: unknown): EnrollResult => {
				if (!(error instanceof QueueFull) && !isConnectionFault(error)) throw error;
				deps.log.warn("enroll.overloaded", { error });
				return { kind: "rejected", reason: "overloaded", message: refusalMessage("overloaded"), retryAfterSeconds: overloadedRetrySeconds };
			});
			count(deps, method, result, { source: sourceAddress, ...claimed(raw) });
			return result;
		},
	};
}

/** Mints ids and the credential ahead of the verdict, so that nothing slow or random happens under lock. */
async function prepare(
	deps: Deps,
	input: EnrollInput,
	from: Pick<ProvenRequest, "method" | "keyId" | "tenantId" | "sourceAddress" | "arrivedAt" | "proof">,
): Promise<ProvenRequest | "bad reply key"> {
	const token = mintToken("worker", deps.random.bytes(38));
	const secretHash = sha256(token.secret);
	const shared = from.method === "AUTO_ENROLLMENT" ? await sharedApiKey(deps, from.tenantId) : undefined;
	const apiKey = shared?.text ?? token.text;
	const sealed =
		input.replyKey === null ? null : await seal(input.replyKey, input.enrollmentId, apiKey).catch(() => "bad reply key" as const);
	if (sealed === "bad reply key") return sealed;
	const fresh: FreshCredential = {
		workerId: deps.mintId("worker"),
		hostId: deps.mintId("host"),
		credentialId: shared?.credentialId ?? deps.mintId("credential"),
		shared: shared !== undefined,
		selector: token.selector,
		secretHash,
		hint: fingerprintOf(secretHash),
		apiKey: input.replyKey === null ? apiKey : null,
		sealed,
	};
	return {
		...from,
		enrollmentId: input.enrollmentId,
		claim: { ...input.worker, labels: input.worker.labels ?? [] },
		replyKey: input.replyKey,
		fresh,
		mesh: { kind: "none" },
	};
}

function count(
	deps: Deps,
	method: EnrollmentMethod,
	result: EnrollResult,
	from: { readonly source: string } & ReturnType<typeof claimed>,
): void {
	const { metrics, log } = deps;
	switch (result.kind) {
		case "enrolled":
			metrics.enrollAttempt(method, result.outcome);
			log.info("enroll.admitted", { method, workerId: result.workerId, outcome: result.outcome });
			break;
		case "pending":
			metrics.enrollAttempt(method, "PENDING");
			log.info("enroll.held", { method, workerId: result.workerId, reason: result.reason });
			break;
		case "rejected":
			metrics.enrollRejection(method, result.reason);
			// Who it was, for whoever watches the log (A17); nothing of what was presented.
			log.info("enroll.refused", { method, reason: result.reason, detail: result.message, ...from });
			break;
	}
}
