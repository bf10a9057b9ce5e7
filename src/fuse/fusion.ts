import type { FuseProvider } from "../hosts/lifecycle.ts";

/** What is being done: PROVE and GRANT by Docker; REGISTER to CONNECT by Portainer; FUSED; then what is undone; ENDED. */
export const fuseSteps = [
	"PROVE",
	"GRANT",
	"REGISTER",
	"DEPLOY",
	"CHECK_IN",
	"CONNECT",
	"FUSED",
	"REMOVE_AGENT",
	"REMOVE_ENVIRONMENT",
	"ENDED",
] as const;
export type FuseStep = (typeof fuseSteps)[number];

/** Steps that a server does itself, by asking Portainer. */
export const serverSteps = ["REGISTER", "CHECK_IN", "CONNECT", "REMOVE_ENVIRONMENT"] as const satisfies readonly FuseStep[];

/** Why a fusion is no more. */
export const fuseOutcomes = ["FAILED", "CANCELLED", "UNFUSED", "ENGINE_CHANGED", "HOST_GONE"] as const;
export type FuseOutcome = (typeof fuseOutcomes)[number];

/** Whose fault a failed one was, as `muster_fuse_failed_total` counts it (H11). */
export const fuseFailureSources = ["docker_error", "portainer_error", "watchdog_timeout"] as const;
export type FuseFailureSource = (typeof fuseFailureSources)[number];

/** One try to fuse a host, and what it came to. Times are milliseconds since the epoch. */
export interface FusionRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly hostId: string;
	readonly workerId: string;
	readonly provider: FuseProvider;
	readonly step: FuseStep;
	/** What the prover's container carries, or the Edge agent's id. */
	readonly challenge: string;
	readonly environmentName: string | null;
	readonly environmentId: number | null;
	/** The pinned engine. */
	readonly engineId: string | null;
	/** The worker's command that the step waits for. */
	readonly commandId: string | null;
	readonly requestedBy: string;
	readonly startedAt: number;
	readonly deadlineAt: number;
	readonly fusedAt: number | null;
	readonly endedAt: number | null;
	readonly outcome: FuseOutcome | null;
	readonly failureSource: FuseFailureSource | null;
	readonly failureMessage: string | null;
	/** Number of the attempt at a server's step: who records what it came to must still find it. */
	readonly attempts: number;
	/** Why the last attempt came to nothing. */
	readonly lastError: string | null;
}

/** Whether the host is on its way to be fused. */
export function isFusing({ outcome, step }: Pick<FusionRecord, "outcome" | "step">): boolean {
	return outcome === null && step !== "FUSED";
}
