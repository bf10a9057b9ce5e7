/** Facts and requests for the verdict's tests: a plain good case, changed where a row says so. */
import type { Facts, PriorFacts, WorkerFacts } from "../../../src/enrollment/facts.ts";
import type { ProvenRequest, WorkerClaim } from "../../../src/enrollment/request.ts";
import type { KeyFacts } from "../../../src/keys/key.ts";

/** The time of every row: far from zero, so that "an hour ago" is a time. */
export const now = 1_800_000_000_000;
export const minute = 60_000;
export const staleMs = 90_000;

/** A live site key of site_a. */
export function key(change: Partial<KeyFacts> = {}): KeyFacts {
	return {
		id: "key_a",
		kind: "site",
		siteId: "site_a",
		active: true,
		graceEndsAt: null,
		maxUses: null,
		uses: 0,
		expiresAt: null,
		revokedAt: null,
		consumedAt: null,
		...change,
	};
}

/** The worker of machine uid-a at site_a, never heard of. */
export function worker(change: Partial<WorkerFacts> = {}): WorkerFacts {
	return {
		id: "wrk_a",
		machineUid: "uid-a",
		hostname: "host-a",
		siteId: "site_a",
		state: "ACTIVE",
		pendingReason: null,
		lastHeartbeatAt: null,
		...change,
	};
}

/** An admitted enrollment of that worker a minute ago, its credential unused. */
export function prior(change: Partial<PriorFacts> = {}): PriorFacts {
	return {
		machineUid: "uid-a",
		replyKey: null,
		keyId: "key_a",
		state: "admitted",
		outcome: "NEW",
		worker: worker(),
		superseded: false,
		sealed: null,
		credential: { used: false, revoked: false },
		expiresAt: now + 9 * minute,
		...change,
	};
}

/** A live key, an open site, an unknown machine. */
export function facts(change: Partial<Facts> = {}): Facts {
	return {
		key: key(),
		site: { enrollmentPolicy: "AUTO_APPROVE" },
		sameMachine: undefined,
		requested: undefined,
		heldClaim: undefined,
		prior: undefined,
		host: undefined,
		auto: undefined,
		mesh: "none",
		sourceAllowed: true,
		staleMs,
		...change,
	};
}

/** Machine uid-a, hostname host-a, by key_a, arrived just now. */
export function request(
	change: Partial<Pick<ProvenRequest, "keyId" | "replyKey" | "arrivedAt" | "proof" | "mesh">> = {},
	claim: Partial<WorkerClaim> = {},
): ProvenRequest {
	return {
		enrollmentId: "0".repeat(32),
		method: "SITE_KEY",
		tenantId: "ten_a",
		keyId: "key_a",
		replyKey: null,
		sourceAddress: "192.0.2.1",
		arrivedAt: now,
		proof: null,
		mesh: { kind: "none" },
		claim: {
			name: "name-a",
			requestedId: null,
			hostname: "host-a",
			machineUid: "uid-a",
			platform: null,
			version: null,
			labels: [],
			...claim,
		},
		fresh: {
			workerId: "wrk_fresh",
			hostId: "host_fresh",
			credentialId: "cred_fresh",
			shared: false,
			selector: "0".repeat(12),
			secretHash: new Uint8Array(32),
			hint: "ABCD",
			apiKey: "the fresh credential in clear",
			sealed: null,
		},
		...change,
	};
}
