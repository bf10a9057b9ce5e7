/** What to do about a command that was begun by a worker which ended before it could say more. Pure. */
import { absurd } from "../src/lib/absurd.ts";
import type { CommandKind } from "../src/protocol/commands.ts";
import type { CommandEnd } from "./commands-journal.ts";

/** What the journal says; `kind` and `begunAtMs` of a command that was begun. */
export interface Begun {
	readonly kind: CommandKind;
	readonly begunAtMs: number;
	readonly end: CommandEnd | null;
}

/** The container that the command was about (of a creation: the one with the command's label), as it is now; undefined: there is none. */
export type Trace = { readonly id: string; readonly running: boolean; readonly startedAtMs: number | undefined } | undefined;

export type Decision =
	/** It has ended: say so again. */
	| { readonly kind: "report"; readonly end: CommandEnd }
	/** What it was to bring about is there. */
	| { readonly kind: "done"; readonly containerId: string | null }
	/** The container is made and was never started: that is left to do, if it was asked for. */
	| { readonly kind: "start"; readonly containerId: string }
	/** It was not done, or doing it again comes to the same. */
	| { readonly kind: "repeat" }
	/** It ended with the worker, and nobody can say how far it came. */
	| { readonly kind: "interrupted" };

/** Decides by what is there. A container that was started after the command began shows that a start, restart or stop came through. */
export function decide({ kind, begunAtMs, end }: Begun, trace: Trace, target: string | null): Decision {
	if (end !== null) return { kind: "report", end };
	const startedSince = trace?.startedAtMs !== undefined && trace.startedAtMs >= begunAtMs;
	switch (kind) {
		case "container.create":
			if (trace === undefined) return { kind: "repeat" };
			return trace.startedAtMs === undefined ? { kind: "start", containerId: trace.id } : { kind: "done", containerId: trace.id };
		case "container.start":
			return trace !== undefined && (trace.running || startedSince) ? { kind: "done", containerId: trace.id } : { kind: "repeat" };
		case "container.stop":
			return trace !== undefined && (!trace.running || startedSince) ? { kind: "done", containerId: trace.id } : { kind: "repeat" };
		case "container.restart":
			return trace !== undefined && startedSince ? { kind: "done", containerId: trace.id } : { kind: "repeat" };
		case "container.remove":
			return trace === undefined ? { kind: "done", containerId: target } : { kind: "repeat" };
		case "container.exec":
		case "container.logs":
			return { kind: "interrupted" };
		case "container.inspect":
		case "image.pull":
		case "stack.deploy":
		case "stack.scale":
		case "stack.remove":
		case "fuse.prove":
		case "fuse.grant":
		case "fuse.revoke":
		case "agent.deploy":
		case "agent.remove":
			return { kind: "repeat" };
		default:
			return absurd(kind);
	}
}
