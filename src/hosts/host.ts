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
