import type { StackModel } from "../engine/stack-model.ts";

/** A stack as it shall be on a host, without what may be secret. Times are milliseconds since the epoch. */
export interface StackRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly hostId: string;
	readonly name: string;
	/** Counts the changes of what shall be: deployments and scalings. */
	readonly revision: number;
	readonly services: readonly StackServiceRecord[];
	/** The names of its variables. */
	readonly variables: readonly string[];
	readonly createdAt: number;
	readonly updatedAt: number;
	readonly updatedBy: string;
	/** The last command about it. */
	readonly commandId: string;
	/** How that ended; null while it has not. */
	readonly outcome: StackOutcome | null;
	readonly error: string | null;
}

export interface StackServiceRecord {
	readonly name: string;
	readonly image: string;
	readonly replicas: number;
}

export const stackOutcomes = ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"] as const;
export type StackOutcome = (typeof stackOutcomes)[number];

/** What stands sealed. */
export interface Desired {
	readonly compose: string;
	readonly environment: Readonly<Record<string, string>>;
	/** What they came to, with the numbers of containers that were asked for since. */
	readonly model: StackModel;
}

/** A container of a stack as its host's worker reported it. */
export interface StackContainer {
	readonly hostId: string;
	readonly project: string;
	readonly service: string;
	/** Docker's. */
	readonly state: string;
	/** Docker's own words: "Exited (0) 3 minutes ago". */
	readonly status: string;
}

export const stackStates = ["CHANGING", "FAILED", "RUNNING", "PARTIAL", "STOPPED"] as const;
export type StackState = (typeof stackStates)[number];

/**
 * What a stack is: CHANGING while a command about it has not ended, FAILED when the last one did not succeed; else what its containers are. One
 * that ended with 0 counts as it should be: it ran to its end. Pure.
 */
export function stackState(stack: Pick<StackRecord, "outcome" | "services">, containers: readonly StackContainer[]): StackState {
	if (stack.outcome === null) return "CHANGING";
	if (stack.outcome !== "SUCCEEDED") return "FAILED";
	const up = stack.services.map(({ name, replicas }) => ({ replicas, up: containersUp(name, containers) }));
	if (up.every(({ replicas, up: found }) => found >= replicas)) return "RUNNING";
	return up.some(({ up: found }) => found > 0) ? "PARTIAL" : "STOPPED";
}

/** How many of a service's containers run, or ran to their end. Pure. */
export function containersUp(service: string, containers: readonly StackContainer[]): number {
	return containers.filter((it) => it.service === service && (it.state === "running" || it.status.startsWith("Exited (0)"))).length;
}

/** Where a stack's sealed text belongs. */
export function stackPlace(id: string): string {
	return `stack ${id}`;
}
