import { createHmac } from "node:crypto";
import type { Clock } from "../src/lib/clock.ts";
import type { Random } from "../src/lib/random.ts";
import { Secret } from "../src/lib/secret.ts";
import { generateReplyKey, open } from "../src/protocol/seal.ts";
import type { Endpoint } from "./address.ts";
import { callEnroll, type EnrollAnswer, type Fetch } from "./client.ts";
import type { EnrollKey, Label } from "./config.ts";
import { reasonOf } from "./fatal.ts";
import type { Identity, IdentityStore, PendingEnrollment } from "./identity.ts";
import type { Enrolled } from "./machine-state.ts";

/** What this host says about itself when it enrolls. */
export interface WorkerFacts {
	readonly name: string;
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
	/**
	 * Sends the pending enrollment, or a new one when there is none, when it was made with another key, or with `renew`. The id and the reply key
	 * are durable before the call. Throws `Fatal` when they cannot be kept.
	 */
	send(renew: boolean, signal: AbortSignal): Promise<EnrollAnswer>;
	/** Opens the sealed credential and keeps it durably. Undefined with `why` when it cannot be opened; throws `Fatal` when it cannot be kept. */
	keep(enrolled: Enrolled): Promise<{ readonly identity: Identity } | { readonly identity: undefined; readonly why: string }>;
	/** Drops the pending enrollment. */
	forget(): void;
}

type Deps = { readonly store: IdentityStore; readonly fetch: Fetch; readonly clock: Clock; readonly random: Random };

/** Prepares the enrolling of this host; nothing is sent or written before `send`. */
export function enrollment(deps: Deps, plan: EnrollmentPlan): Enrollment {
	const claim = claimDigest(plan.key);

	async function begin(): Promise<PendingEnrollment> {
		const pending: PendingEnrollment = {
			enrollmentId: Buffer.from(deps.random.bytes(16)).toString("hex"),
			replyKey: await generateReplyKey(),
			startedAt: new Date(deps.clock.now()).toISOString(),
			claim,
		};
		deps.store.begin(pending);
		return pending;
	}

	return {
		async send(renew, signal) {
			const kept = renew ? undefined : deps.store.pending();
			const pending = kept?.claim === claim ? kept : await begin();
			return callEnroll(deps.fetch, plan.endpoint, enrollInput(plan, pending), signal);
		},
		async keep(enrolled) {
			const pending = deps.store.pending();
			if (pending === undefined) return { identity: undefined, why: "The pending enrollment is gone from the state directory" };
			if (enrolled.sealedApiKey === null) return { identity: undefined, why: "The server did not seal the API key, as it was asked to" };
			let apiKey: Secret;
			try {
				apiKey = new Secret(await open(pending.replyKey.privateKey, pending.enrollmentId, enrolled.sealedApiKey));
			} catch (error) {
				return { identity: undefined, why: `Cannot open the sealed API key: ${reasonOf(error)}` };
			}
			const credential = { workerId: enrolled.workerId, apiKey };
			const server = {
				hostId: enrolled.hostId,
				name: enrolled.name,
				askedName: plan.facts.name,
				address: enrolled.serverAddress,
				enrolledAt: plan.endpoint.http,
				heartbeatSeconds: enrolled.heartbeatIntervalSeconds,
			};
			deps.store.accept(pending, credential, server);
			return { identity: { credential, server } };
		},
		forget: () => deps.store.forget(),
	};
}

/** The GraphQL input of an enrollment (contract.graphql, EnrollInput). */
function enrollInput({ key, facts }: EnrollmentPlan, pending: PendingEnrollment): unknown {
	return { enrollmentId: pending.enrollmentId, credential: credentialInput(key), worker: facts, replyKey: pending.replyKey.publicKey };
}

function credentialInput(key: EnrollKey): unknown {
	switch (key.kind) {
		case "enrollment":
			return { enrollmentKey: key.key.reveal() };
		case "site":
			return { siteKey: { siteCode: key.siteCode, key: key.key.reveal(), ...(key.tenant === undefined ? {} : { tenant: key.tenant }) } };
		case "host":
			return { hostToken: { token: key.token.reveal(), sharedSecret: key.sharedSecret.reveal() } };
	}
}

/** Tells enrollments made with different keys apart without keeping a key; keys have 256 random bits. */
function claimDigest(key: EnrollKey): string {
	const secret = key.kind === "host" ? key.token : key.key;
	const scope = key.kind === "site" ? `${key.tenant ?? ""}\n${key.siteCode}` : "";
	return createHmac("sha256", "muster-pending-enrollment-v1")
		.update(`${key.kind}\n${scope}\n${secret.reveal()}`)
		.digest("hex")
		.slice(0, 32);
}
