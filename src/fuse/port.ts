import type { CommandParams } from "../protocol/commands.ts";
import type { FusionRecord } from "./fusion.ts";
import type { FusionEvent } from "./machine.ts";

/** What a server's step came to. */
export type StepResult =
	| { readonly kind: "event"; readonly event: FusionEvent; readonly agent?: CommandParams<"agent.deploy"> }
	/** Not yet: to be tried again after a while. */
	| { readonly kind: "wait"; readonly afterSeconds: number; readonly error: string | null };

/** The outside part of fusing by a provider: what no worker does. Docker has none, its steps are all commands. */
export interface FuseProviderPort {
	/** Does the step of a fusion that its place asks for. May be repeated after a crash. Rejects only when the signal is aborted. */
	step(fusion: FusionRecord, context: StepContext, signal: AbortSignal): Promise<StepResult>;
	/** Takes back what a `registered` made that nobody waits for any more. */
	forget(environmentId: number, signal: AbortSignal): Promise<void>;
}

export interface StepContext {
	/** The engine that the host's worker sees; undefined when it sees none. */
	readonly reportedEngine: () => Promise<string | undefined>;
}
