import { type CommandErrorCode, type CommandKind, commandKinds, type CommandParams, type CommandState } from "../protocol/commands.ts";

/** One thing a worker was asked to do on its host. Times are milliseconds since the epoch. */
export interface CommandRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly hostId: string;
	readonly workerId: string;
	readonly kind: CommandKind;
	readonly lane: "free" | "ordered";
	readonly state: CommandState;
	/** With secrets masked, as people may see them. */
	readonly params: Readonly<Record<string, unknown>>;
	readonly requestedBy: string;
	readonly requestedAt: number;
	readonly deadlineAt: number;
	/** When a server gave it to the worker first. */
	readonly handedAt: number | null;
	readonly startedAt: number | null;
	readonly cancelRequestedAt: number | null;
	readonly endedAt: number | null;
	readonly result: unknown;
	readonly errorCode: CommandErrorCode | null;
	readonly errorMessage: string | null;
	/** It lives only as long as somebody reads its output. */
	readonly follows: boolean;
}

/** A command to be queued. */
export interface NewCommand<K extends CommandKind = CommandKind> {
	readonly tenantId: string;
	readonly hostId: string;
	readonly workerId: string;
	readonly kind: K;
	readonly params: CommandParams<K>;
	/** Milliseconds since the epoch; null: what the kind has by default. */
	readonly deadlineAt: number | null;
	/** As the audit log names it: `operator:alice`, `server`. */
	readonly actor: string;
}

/** How a command ends. */
export type CommandEnd =
	| { readonly state: "SUCCEEDED"; readonly result: unknown }
	| { readonly state: "FAILED"; readonly code: CommandErrorCode; readonly message: string; readonly result?: unknown }
	| { readonly state: "CANCELLED"; readonly message: string | null; readonly result?: unknown }
	| { readonly state: "EXPIRED"; readonly message: string };

/** Longest that a command may wait and run. */
export const deadlineMsMax = 24 * 3_600_000;
const readingMs = 300_000;
const hourMs = 3_600_000;

/** Whether a command ends when nobody reads it any more: followed logs, and an exec that somebody types into. Pure. */
export function followsReader(kind: CommandKind, params: Readonly<Record<string, unknown>>): boolean {
	return (kind === "container.logs" && params["follow"] === true) || (kind === "container.exec" && params["stdin"] === true);
}

/** How long a command may take when nobody says: 5 minutes to read, an hour to change or to follow. Pure. */
export function defaultDeadlineMs(kind: CommandKind, params: Readonly<Record<string, unknown>>): number {
	return commandKinds[kind].lane === "ordered" || followsReader(kind, params) ? hourMs : readingMs;
}

/** Where a command's sealed parameters belong. */
export function paramsPlace(id: string): string {
	return `command ${id}`;
}
