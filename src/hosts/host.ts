import type { FuseProvider, HostState, StableState } from "./lifecycle.ts";

/** The machine's record and life cycle. Times are milliseconds since the epoch. */
export interface HostRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly name: string;
	readonly siteId: string | null;
	readonly workerId: string | null;
	readonly state: HostState;
	/** What it was when it was last heard: equals `state` unless DEGRADED. */
	readonly lastKnownState: StableState;
	readonly meshAddress: string | null;
	readonly fuseProvider: FuseProvider | null;
	readonly monitoringSince: number | null;
	readonly createdAt: number;
}

/** A host that waits: for the worker of its token, or for the first sign of one that never enrolls. */
export function waitingHost(known: Pick<HostRecord, "id" | "tenantId" | "name" | "siteId" | "workerId" | "createdAt">): HostRecord {
	return { ...known, state: "PENDING", lastKnownState: "PENDING", meshAddress: null, fuseProvider: null, monitoringSince: null };
}
