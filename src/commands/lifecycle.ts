import { absurd } from "../lib/absurd.ts";
import type { CommandState } from "../protocol/commands.ts";

/** What happens to a command: the worker begins it, or it ends in one of four ways. */
export const commandEvents = ["start", "succeed", "fail", "cancel", "expire"] as const;
export type CommandEvent = (typeof commandEvents)[number];

/** The next state, or undefined when the event changes nothing: what has ended stays as it ended first. Pure. */
export function transition(state: CommandState, event: CommandEvent): CommandState | undefined {
	if (state !== "QUEUED" && state !== "RUNNING") return undefined;
	switch (event) {
		case "start":
			return state === "QUEUED" ? "RUNNING" : undefined;
		case "succeed":
			return "SUCCEEDED";
		case "fail":
			return "FAILED";
		case "cancel":
			return "CANCELLED";
		case "expire":
			return "EXPIRED";
		default:
			return absurd(event);
	}
}
