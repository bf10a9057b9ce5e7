import { createHmac, scryptSync } from "node:crypto";
import { absurd } from "../src/lib/absurd.ts";
import type { Clock } from "../src/lib/clock.ts";
import type { Random } from "../src/lib/random.ts";
import { Secret } from "../src/lib/secret.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { autoEnrollmentMac, nonceFor } from "../src/protocol/auto-enroll.ts";
import { generateReplyKey, open } from "../src/protocol/seal.ts";
import type { Endpoint } from "./address.ts";
import { callEnroll, type EnrollAnswer, type Fetch } from "./client.ts";
import type { Label } from "./config.ts";
import { Fatal, reasonOf } from "./fatal.ts";
import { fitsHeader } from "./header-text.ts";
import type { Identity, IdentityStore, PendingEnrollment } from "./identity.ts";
import type { Enrolled } from "./machine-state.ts";
import type { EnrollKey } from "./strategy.ts";

/** What this host says about itself when it enrolls. */
export interface WorkerFacts {
	readonly name: string;
	/** The worker id to ask for (A7); absent: the server chooses. */
	readonly requestedId?: string;
	readonly hostname: string;
	readonly machineUid: string;
	readonly platform: string;
	readonly version: string;
	readonly labels: readonly Label[];
}

/** Everything an enrollment is made of. */
export interface EnrollmentPlan {
	readonly endpoint: Endpoint;
	readonly key: EnrollKey;
	readonly facts: WorkerFacts;
}

/** The enrolling of one host, step by step; what is not finished survives a crash. */
export interface Enrollment {
	/** Whether each call is signed with a nonce and a time of its own (A6). */
	readonly signed: boolean;
	/**
	 * Sends the pending enrollment, or a new one when there is none, when it was made with another key, or with `renew`. The id and the reply key
	 * are durable before the call. A repeat has the same id and reply key, and where it is signed a nonce, a time and a proof of its own.
	 * Throws `Fatal` when they cannot be kept.
	 */
	send(renew: boolean, signal: AbortSignal): Promise<EnrollAnswer>;
	/** Opens the sealed credential and keeps it durably. Undefined with `why` when it cannot be opened; throws `Fatal` when it cannot be kept. */
	keep(enrolled: Enrolled): Promise<{ readonly identity: Identity } | { readonly identity: undefined; readonly why: string }>;
	/** Drops the pending enrollment. */
	forget(): void;
	/** Signs from now on with the time of a server whose clock says this now; this machine's clock stays as it is. */
	correctClock(serverMs: number): void;
}

type Deps = { readonly store: IdentityStore; readonly fetch: Fetch; readonly clock: Clock; readonly random: Random };

const unusableKey =
	"Cannot use the API key that the server gave: no HTTP header can carry it, ask the server's administrator to set another one and start the worker again";

/** Prepares the enrolling of this host; nothing is sent or written before `send`. */
export function enrollment(deps: Deps, plan: EnrollmentPlan): Enrollment {
	const digestOf = claimDigest(plan);
	/** What the server's clock is ahead of this machine's. */
	let clockOffsetMs = 0;

	async function begin(): Promise<PendingEnrollment> {
		const enrollmentId = hex(deps.random, 16);
		const pending: PendingEnrollment = {
			enrollmentId,
			replyKey: await generateReplyKey(),
			startedAt: new Date(deps.clock.now()).toISOString(),
			claim: digestOf(enrollmentId),
		};
		deps.store.begin(pending);
		return pending;
	}

	return {
		signed: plan.key.kind === "auto",
		async send(renew, signal) {
			const kept = renew ? undefined : deps.store.pending();
			const pending = kept !== undefined && kept.claim === digestOf(kept.enrollmentId) ? kept : await begin();
			const { enrollmentId, replyKey } = pending;
			// Named in the nonce, the reply key is part of what is proven: a copy of this request is of use to nobody else.
			const nonce = nonceFor(hex(deps.random, 16), replyKey.publicKey);
			const stamp = { nonce, timestamp: new Date(deps.clock.now() + clockOffsetMs).toISOString() };
			const input = {
				enrollmentId,
				credential: credentialInput(plan, enrollmentId, stamp),
				worker: plan.facts,
				replyKey: replyKey.publicKey,
			};
			return callEnroll(deps.fetch, plan.endpoint, input, signal);
		},
		async keep(enrolled) {
			const pending = deps.store.pending();
			if (pending === undefined) return { identity: undefined, why: "The pending enrollment is gone from the state directory" };
			if (enrolled.sealedApiKey === null) return { identity: undefined, why: "The server did not seal the API key, as it was asked to" };
			const unsealed = await openSeals(pending, enrolled.sealedApiKey, enrolled.mesh?.sealedAuthKey ?? null);
			if ("why" in unsealed) return { identity: undefined, why: unsealed.why };
			const { apiKey, meshKey } = unsealed;
			if (!fitsHeader(apiKey.reveal())) throw new Fatal(exitCodes.noPermission, unusableKey);
			const credential = { workerId: enrolled.workerId, apiKey };
			const server = {
				hostId: enrolled.hostId,
				name: enrolled.name,
				askedName: plan.facts.name,
				address: enrolled.serverAddress,
				enrolledAt: plan.endpoint.http,
				heartbeatSeconds: enrolled.heartbeatIntervalSeconds,
				mesh: enrolled.mesh && { controlUrl: enrolled.mesh.controlUrl, serverAddress: enrolled.mesh.serverMeshAddress },
			};
			deps.store.accept(pending, credential, server, meshKey);
			return { identity: { credential, server } };
		},
		forget: () => deps.store.forget(),
		correctClock(serverMs) {
			clockOffsetMs = serverMs - deps.clock.now();
		},
	};
}

type Unsealed = { readonly apiKey: Secret; readonly meshKey: Secret | undefined } | { readonly why: string };

async function openSeals(
	{ replyKey, enrollmentId }: PendingEnrollment,
	sealedApiKey: string,
	sealedMeshKey: string | null,
): Promise<Unsealed> {
	let what = "API key";
	try {
		const apiKey = new Secret(await open(replyKey.privateKey, enrollmentId, sealedApiKey));
		if (sealedMeshKey === null) return { apiKey, meshKey: undefined };
		what = "mesh key";
		return { apiKey, meshKey: new Secret(await open(replyKey.privateKey, enrollmentId, sealedMeshKey, "meshKey")) };
	} catch (error) {
		return { why: `Cannot open the sealed ${what}: ${reasonOf(error)}` };
	}
}

/** The way in, as the server reads it (contract.graphql, EnrollCredential). */
function credentialInput({ key, facts }: EnrollmentPlan, enrollmentId: string, stamp: { nonce: string; timestamp: string }): unknown {
	switch (key.kind) {
		case "enrollment":
			return { enrollmentKey: key.key.reveal() };
		case "site":
			return { siteKey: { siteCode: key.siteCode, key: key.key.reveal(), ...(key.tenant === undefined ? {} : { tenant: key.tenant }) } };
		case "host":
			return { hostToken: { token: key.token.reveal(), sharedSecret: key.sharedSecret.reveal() } };
		case "auto": {
			const { name, requestedId = null, machineUid } = facts;
			const transcript = { tenant: key.tenant, enrollmentId, name, requestedId, machineUid, ...stamp };
			return { autoEnrollment: { tenant: key.tenant, ...stamp, mac: autoEnrollmentMac(key.secret.reveal(), transcript) } };
		}
		default:
			return absurd(key);
	}
}

/**
 * Tells enrollments made with different keys, or for different worker ids, apart without keeping a key: the server refuses an enrollment id that
 * comes again with another one. Keys have 256 random bits; an auto-enrollment secret may be a sentence, so that one is stretched.
 */
function claimDigest({ key, facts }: EnrollmentPlan): (enrollmentId: string) => string {
	const asked = facts.requestedId === undefined ? "" : `\n${facts.requestedId}`;
	if (key.kind === "auto") {
		const known = new Map<string, string>();
		return (enrollmentId) => {
			const digest = known.get(enrollmentId) ?? stretched(key.secret, `${enrollmentId}\n${key.tenant}${asked}`);
			// One enrollment id at a time: the next attempt, seconds later, need not stretch again.
			known.clear();
			known.set(enrollmentId, digest);
			return digest;
		};
	}
	const secret = key.kind === "host" ? key.token : key.key;
	const scope = key.kind === "site" ? `${key.tenant ?? ""}\n${key.siteCode}` : "";
	const digest = createHmac("sha256", "muster-pending-enrollment-v1")
		.update(`${key.kind}\n${scope}\n${secret.reveal()}${asked}`)
		.digest("hex")
		.slice(0, 32);
	return () => digest;
}

// 16 MiB and some 50 ms a guess, for a file that only the worker's user can read.
function stretched(secret: Secret, salt: string): string {
	return scryptSync(secret.reveal(), salt, 16, { N: 16_384, r: 8, p: 1 }).toString("hex");
}

function hex(random: Random, length: number): string {
	return Buffer.from(random.bytes(length)).toString("hex");
}
