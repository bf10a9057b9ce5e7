import type { HostRecord } from "../hosts/host.ts";
import type { KeyRecord } from "../keys/key.ts";
import type { Outcome } from "../protocol/codes.ts";
import type { SiteRecord } from "../sites/site.ts";
import type { WorkerView } from "../workers/worker.ts";

/** What an enrollment id was answered before, as stored (G6). */
export interface PriorRecord {
	readonly tenantId: string;
	readonly enrollmentId: string;
	readonly keyId: string;
	readonly workerId: string;
	readonly hostId: string | null;
	readonly machineUid: string;
	readonly replyKey: string | null;
	readonly state: "held" | "admitted";
	readonly outcome: Exclude<Outcome, "REPLAYED"> | null;
	readonly credentialId: string | null;
	readonly sealed: string | null;
	/** The mesh key that was given out with it, and its sealed text. */
	readonly meshKeyId: string | null;
	readonly sealedMesh: string | null;
	readonly createdAt: number;
	readonly expiresAt: number | null;
	readonly credentialUsed: boolean;
	readonly credentialRevoked: boolean;
}

/** Everything one batch read under lock. */
export interface Loaded {
	readonly keys: readonly KeyRecord[];
	readonly sites: readonly SiteRecord[];
	readonly workers: readonly WorkerView[];
	readonly hosts: readonly HostRecord[];
	readonly priors: readonly PriorRecord[];
	/** Of the tenants that auto-enroll in this batch. */
	readonly auto: readonly AutoState[];
	/** The names that tenants expect of their workers (A14); only those that have a pattern. */
	readonly tenantPatterns: readonly { readonly tenantId: string; readonly pattern: string }[];
	/** Nonces of this batch that were seen before. */
	readonly seenNonces: readonly { readonly tenantId: string; readonly nonce: string }[];
	/** Shared API keys of this batch that are still good. */
	readonly liveShared: readonly string[];
	/** Mesh keys of this batch that housekeeping has not taken back. */
	readonly meshKeys: readonly string[];
}

/** Whether a tenant's auto-enrollment is on. */
export interface AutoState {
	readonly tenantId: string;
	readonly enabled: boolean;
}

/** What verdicts on nobody depend on. */
export const nothing: Loaded = {
	keys: [],
	sites: [],
	workers: [],
	hosts: [],
	priors: [],
	auto: [],
	tenantPatterns: [],
	seenNonces: [],
	liveShared: [],
	meshKeys: [],
};
