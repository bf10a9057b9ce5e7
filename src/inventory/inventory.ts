/** The engine of a host as its worker saw it last. Times are milliseconds since the epoch. */
export interface EngineRecord {
	readonly tenantId: string;
	readonly hostId: string;
	/** Null: there was none, `reason` says why. */
	readonly engineId: string | null;
	readonly version: string | null;
	readonly apiVersion: string | null;
	readonly reason: string | null;
	readonly reportedAt: number;
}

/** A container as its worker saw it last. */
export interface ContainerRecord {
	readonly hostId: string;
	readonly id: string;
	readonly name: string;
	readonly image: string;
	readonly state: string;
	readonly status: string;
	readonly createdAt: number;
	readonly labels: Readonly<Record<string, string>>;
	readonly ports: readonly string[];
}

/** Something that happened on a host's engine. */
export interface HostEventRecord {
	readonly id: string;
	readonly hostId: string;
	readonly at: number;
	readonly type: string;
	readonly action: string;
	readonly subject: string;
	readonly name: string | null;
	readonly attributes: Readonly<Record<string, string>>;
}

/** A container's figures at one moment. */
export interface ContainerStats {
	readonly hostId: string;
	readonly containerId: string;
	readonly at: number;
	readonly cpuCores: number;
	readonly memoryBytes: number;
	readonly memoryLimitBytes: number | null;
	readonly networkReceivedBytes: number;
	readonly networkSentBytes: number;
}
