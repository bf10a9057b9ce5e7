import { absurd } from "../lib/absurd.ts";

export const stableStates = ["PENDING", "MONITORING", "FUSING", "FUSED"] as const;
export type StableState = (typeof stableStates)[number];
export const hostStates = [...stableStates, "DEGRADED"] as const;
export type HostState = (typeof hostStates)[number];
export const fuseProviders = ["DOCKER", "PORTAINER"] as const;
export type FuseProvider = (typeof fuseProviders)[number];

/** A host's place in its life: what it is, and what it was when last heard. They differ only while DEGRADED. */
export interface Life {
	readonly state: HostState;
	readonly lastKnownState: StableState;
}

/** What happens to a host (DESIGN.md, Hosts; H10 to H13). */
export const lifeEvents = ["enrolled", "fuse", "fused", "fuse-failed", "unfuse", "stale", "heartbeat"] as const;
export type LifeEvent = (typeof lifeEvents)[number];

/**
 * The next place in a host's life, or undefined when the event changes nothing or may not happen there. Pure.
 * DEGRADED lies over MONITORING and FUSED and lifts on the next heartbeat; enrolling again while DEGRADED changes nothing.
 */
export function transition(life: Life, event: LifeEvent): Life | undefined {
	switch (event) {
		case "enrolled":
			return life.state === "PENDING" ? stable("MONITORING") : undefined;
		case "fuse":
			return life.state === "MONITORING" ? stable("FUSING") : undefined;
		case "fused":
			return life.state === "FUSING" ? stable("FUSED") : undefined;
		case "fuse-failed":
			return life.state === "FUSING" ? stable("MONITORING") : undefined;
		case "unfuse":
			if (life.state === "FUSED") return stable("MONITORING");
			return life.state === "DEGRADED" && life.lastKnownState === "FUSED" ? { state: "DEGRADED", lastKnownState: "MONITORING" } : undefined;
		case "stale":
			if (life.state !== "MONITORING" && life.state !== "FUSED") return undefined;
			return { state: "DEGRADED", lastKnownState: life.state };
		case "heartbeat":
			return life.state === "DEGRADED" ? stable(life.lastKnownState) : undefined;
		default:
			return absurd(event);
	}
}

function stable(state: StableState): Life {
	return { state, lastKnownState: state };
}
