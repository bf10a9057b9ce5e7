import type { HostRecord } from "../hosts/host.ts";
import { absurd } from "../lib/absurd.ts";
import { type CommandKind, commandKinds } from "../protocol/commands.ts";

/**
 * Why a host may not be given a command of this kind, with the remedy; undefined when it may. While DEGRADED a host counts as what it was when it
 * was last heard (H13): commands wait for its return. Pure; asked when a command is queued and again before it is handed out (H12).
 */
export function refusalOf(kind: CommandKind, host: Pick<HostRecord, "name" | "state" | "lastKnownState">): string | undefined {
	const { needs } = commandKinds[kind];
	const is = host.state === "DEGRADED" ? `DEGRADED, ${host.lastKnownState} before` : host.state;
	switch (needs) {
		case "none":
			return undefined;
		case "monitoring":
			return host.lastKnownState === "PENDING" ? `host "${host.name}" is ${is}: its worker has to enroll first` : undefined;
		case "fused":
			return host.lastKnownState === "FUSED"
				? undefined
				: `host "${host.name}" is ${is}, and this needs it FUSED: fuse it first (fuseHost)`;
		case "fusing":
			return host.lastKnownState === "FUSING" ? undefined : `host "${host.name}" is ${is}: this is a step of fusing it (fuseHost)`;
		default:
			return absurd(needs);
	}
}
