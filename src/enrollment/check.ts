import * as v from "valibot";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { autoEnrollmentOf, autoSecrets } from "../auto-enrollment/store.ts";
import { secretPlace } from "../auto-enrollment/auto-enrollment.ts";
import type { Deps } from "../deps.ts";
import { parseInput } from "../input.ts";
import { normalizeAddress } from "../lib/address.ts";
import type { KeyRecord } from "../keys/key.ts";
import type { EnrollmentMethod, Outcome, PendingReason, Refusal } from "../protocol/codes.ts";
import { claimedKind, sameBytes } from "../protocol/token.ts";
import { decide, type Verdict } from "./decide.ts";
import { refusalMessage } from "./messages.ts";
import type { EnrollKind, Prover } from "./prove.ts";
import { again } from "./preview.ts";
import type { ProvenRequest } from "./request.ts";
import { sourceAllowed } from "./source.ts";
import { load } from "./store.ts";
import { factsFor, openWorld } from "./world.ts";

/** What would happen now to a worker that came with a key. */
export interface KeyCheck {
	readonly kind: Verdict["kind"];
	readonly outcome: Outcome | null;
	readonly pendingReason: PendingReason | null;
	readonly reason: Refusal | null;
	/** One sentence: what, and why. */
	readonly message: string;
	readonly method: EnrollmentMethod;
	/** The key, when it is one and the operator's own. */
	readonly key: KeyRecord | null;
}

const question = v.object({
	key: v.string(),
	sourceAddress: v.optional(
		v.nullable(
			v.pipe(
				v.string(),
				v.check(
					(text) => normalizeAddress(text) !== undefined,
					({ input }) => `"${String(input).slice(0, 60)}" is no IP address`,
				),
			),
		),
		null,
	),
	name: v.optional(v.nullable(v.string()), null),
	machineUid: v.optional(v.nullable(v.string()), null),
	hostname: v.optional(v.nullable(v.string()), null),
});

const methods: Record<EnrollKind, EnrollmentMethod> = { site: "SITE_KEY", enroll: "ENROLLMENT_KEY", host: "HOST_TOKEN" };

/**
 * Says what would happen now to a worker with this key, and why, by the very verdict that would be passed; uses nothing and writes nothing.
 * The shared secret, site code and tenant that have to come with a key are taken to be right. Another tenant's key answers like one that
 * does not exist (S10). What is left out of the machine counts as a new one, from an allowed address, under the right name.
 */
export async function checkEnrollmentKey(deps: Deps, prover: Prover, operator: OperatorPrincipal, raw: unknown): Promise<KeyCheck> {
	const asked = parseInput("check the key", question, raw);
	const claimed = claimedKind(asked.key);
	const kind = claimed === "worker" ? undefined : claimed;
	const method = kind === undefined ? "AUTO_ENROLLMENT" : methods[kind];
	const refused = (reason: Refusal, message = refusalMessage(reason), key: KeyRecord | null = null): KeyCheck => ({
		kind: "refuse",
		outcome: null,
		pendingReason: null,
		reason,
		message,
		method,
		key,
	});
	if (claimed === "worker") return refused("invalid_token", "This is a worker's API key: it lets a worker report, not enroll");
	if (!deps.settings.externalWorkers)
		return refused("enrollment_disabled", "MUSTER_EXTERNAL_WORKERS=off forbids every enrollment on this server");
	if (kind === "host" && deps.settings.sharedSecret === null)
		return refused("not_configured", "Host tokens need a shared secret: set MUSTER_SHARED_SECRET on the server");
	const proof = kind === undefined ? await proveSecret(deps, operator, asked.key) : await prover.proveToken(kind, asked.key);
	if (proof.kind === "failed") return refused(proof.why);
	if (proof.tenantId !== operator.tenantId) return refused("invalid_token");
	return again(() =>
		deps.db.tx(async (tx) => {
			const now = deps.clock.now();
			const credentialId = kind === undefined ? ((await autoEnrollmentOf(tx, operator.tenantId))?.credentialId ?? null) : null;
			const request = imagined(deps, asked, {
				method,
				tenantId: proof.tenantId,
				keyId: proof.keyId,
				auto: kind === undefined,
				credentialId,
				now,
			});
			// The locks are let go unused: nothing is saved.
			const loaded = await load(tx, [request]);
			const host = loaded.hosts.find(({ id }) => id === loaded.keys[0]?.hostId);
			const world = openWorld(
				// The shared API key that the first enrollment will mint counts as there.
				{ ...loaded, liveShared: credentialId === null ? [request.fresh.credentialId] : loaded.liveShared },
				deps.settings.staleSeconds * 1_000,
			);
			const named = { ...request, claim: { ...request.claim, name: asked.name ?? host?.name ?? request.claim.name } };
			const facts = factsFor(world, named, (key) => asked.sourceAddress === null || sourceAllowed(key, asked.sourceAddress));
			return told(decide(facts, named, now), method, loaded.keys[0] ?? null);
		}),
	);
}

function told(verdict: Verdict, method: EnrollmentMethod, key: KeyRecord | null): KeyCheck {
	const nothing = { outcome: null, pendingReason: null, reason: null, method, key };
	switch (verdict.kind) {
		case "admit":
			return { ...nothing, kind: "admit", outcome: verdict.outcome, message: `It would be let in (${verdict.outcome})` };
		case "replay":
			return { ...nothing, kind: "replay", outcome: "REPLAYED", message: "It would get the answer it got before" };
		case "hold": {
			const why =
				verdict.why === "COLLISION" ? "another machine claims the same identity" : "the site lets new workers in on approval only";
			return { ...nothing, kind: "hold", pendingReason: verdict.why, message: `It would be held until an operator decides: ${why}` };
		}
		case "refuse":
			return { ...nothing, kind: "refuse", reason: verdict.why, message: `It would be refused (${verdict.why}): ${verdict.detail}` };
	}
}

/** A request such as a new machine would send; of an auto-enrollment with a proof made just now. */
function imagined(
	deps: Deps,
	asked: v.InferOutput<typeof question>,
	from: {
		readonly method: EnrollmentMethod;
		readonly tenantId: string;
		readonly keyId: string;
		readonly auto: boolean;
		readonly credentialId: string | null;
		readonly now: number;
	},
): ProvenRequest {
	const random = Buffer.from(deps.random.bytes(16)).toString("hex");
	return {
		enrollmentId: random,
		method: from.method,
		tenantId: from.tenantId,
		keyId: from.keyId,
		claim: {
			name: asked.name ?? "a new worker",
			requestedId: null,
			hostname: asked.hostname,
			machineUid: asked.machineUid ?? `checked-${random}`,
			platform: null,
			version: null,
			labels: [],
		},
		replyKey: null,
		sourceAddress: asked.sourceAddress ?? "",
		arrivedAt: from.now,
		mesh: { kind: "none" },
		proof: from.auto ? { nonce: random, timestampMs: from.now } : null,
		fresh: {
			workerId: deps.mintId("worker"),
			hostId: deps.mintId("host"),
			credentialId: from.credentialId ?? deps.mintId("credential"),
			shared: from.auto,
			selector: "",
			secretHash: new Uint8Array(32),
			hint: "",
			apiKey: null,
			sealed: null,
		},
	};
}

/** A text without our form is taken for the tenant's auto-enrollment secret. */
async function proveSecret(deps: Deps, { tenantId }: OperatorPrincipal, text: string) {
	const failed = (why: Refusal) => ({ kind: "failed", why }) as const;
	const found = await autoSecrets(deps.db.sql, { id: tenantId }, deps.clock.now());
	if (found?.enabled !== true) return failed("enrollment_disabled");
	const given = Buffer.from(text, "utf8");
	const right = found.secrets.find(({ sealed }) => sameBytes(Buffer.from(deps.vault.open(sealed, secretPlace(tenantId)), "utf8"), given));
	return right === undefined ? failed("bad_secret") : ({ kind: "proven", keyId: right.keyId, tenantId } as const);
}
