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
}
