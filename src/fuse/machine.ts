import type { LifeEvent } from "../hosts/lifecycle.ts";
import { absurd } from "../lib/absurd.ts";
import type { CommandKind } from "../protocol/commands.ts";
import { type FuseFailureSource, type FuseOutcome, type FuseStep, type FusionRecord, isFusing } from "./fusion.ts";

/** What happens to a fusion. */
export type FusionEvent =
	| { readonly kind: "proved"; readonly engineId: string }
	| { readonly kind: "granted" }
	| { readonly kind: "registered"; readonly environmentId: number }
	| { readonly kind: "deployed" }
	| { readonly kind: "checked-in" }
	| { readonly kind: "connected"; readonly engineId: string }
	| { readonly kind: "failed"; readonly source: FuseFailureSource; readonly message: string }
	/** Somebody wants it undone, or its engine or host is no more what it was. */
	| { readonly kind: "undo"; readonly why: "asked" | "engine-changed" | "host-gone" }
	| { readonly kind: "agent-gone" }
	| { readonly kind: "environment-gone" };

/** What an event comes to. */
export interface Move {
	readonly step: FuseStep;
	/** What happens to the host with it. */
	readonly life?: Extract<LifeEvent, "fused" | "fuse-failed" | "unfuse">;
	/** What the worker is told to do. */
	readonly order?: Extract<CommandKind, "fuse.prove" | "fuse.grant" | "fuse.revoke" | "agent.deploy" | "agent.remove">;
	readonly outcome?: FuseOutcome;
	readonly engineId?: string;
	readonly environmentId?: number;
	readonly failure?: { readonly source: FuseFailureSource; readonly message: string };
}

type Place = Pick<FusionRecord, "provider" | "step" | "outcome">;

/** The first step, and what the worker is told for it. Pure. */
export function firstMove(provider: FusionRecord["provider"]): Move {
	return provider === "DOCKER" ? { step: "PROVE", order: "fuse.prove" } : { step: "REGISTER" };
}

/**
 * What becomes of a fusion (H11); undefined: the event comes too late or changes nothing, so that of the last step and the watchdog, or of two
 * servers, one wins. Pure.
 */
export function advance(fusion: Place, event: FusionEvent): Move | undefined {
	const at = fusion.outcome === null ? fusion.step : undefined;
	switch (event.kind) {
		case "proved":
			return at === "PROVE" ? { step: "GRANT", order: "fuse.grant", engineId: event.engineId } : undefined;
		case "granted":
			return at === "GRANT" ? { step: "FUSED", life: "fused" } : undefined;
		case "registered":
			return at === "REGISTER" ? { step: "DEPLOY", order: "agent.deploy", environmentId: event.environmentId } : undefined;
		case "deployed":
			return at === "DEPLOY" ? { step: "CHECK_IN" } : undefined;
		case "checked-in":
			return at === "CHECK_IN" ? { step: "CONNECT" } : undefined;
		case "connected":
			return at === "CONNECT" ? { step: "FUSED", life: "fused", engineId: event.engineId } : undefined;
		case "failed":
			if (!isFusing(fusion)) return undefined;
			return { ...undoing(fusion), life: "fuse-failed", outcome: "FAILED", failure: { source: event.source, message: event.message } };
		case "undo":
			return undo(fusion, event.why);
		case "agent-gone":
			return fusion.step === "REMOVE_AGENT" ? { step: "REMOVE_ENVIRONMENT" } : undefined;
		case "environment-gone":
			return fusion.step === "REMOVE_ENVIRONMENT" ? { step: "ENDED" } : undefined;
		default:
			return absurd(event);
	}
}

function undo(fusion: Place, why: Extract<FusionEvent, { kind: "undo" }>["why"]): Move | undefined {
	if (fusion.outcome !== null) {
		// Nobody is left who could remove the agent.
		return why === "host-gone" && fusion.step === "REMOVE_AGENT" ? { step: "REMOVE_ENVIRONMENT" } : undefined;
	}
	const life = isFusing(fusion) ? "fuse-failed" : "unfuse";
	switch (why) {
		case "asked":
			return { ...undoing(fusion), life, outcome: isFusing(fusion) ? "CANCELLED" : "UNFUSED" };
		case "engine-changed":
			// Before the grant the worker itself refuses another engine than the proven one.
			return isFusing(fusion) ? undefined : { ...undoing(fusion), life, outcome: "ENGINE_CHANGED" };
		case "host-gone":
			return { step: fusion.provider === "PORTAINER" ? "REMOVE_ENVIRONMENT" : "ENDED", life, outcome: "HOST_GONE" };
		default:
			return absurd(why);
	}
}

/** The agent goes before its environment, as it would come back otherwise; what was never there is left out. */
function undoing({ provider, step }: Place): Pick<Move, "step" | "order"> {
	if (provider === "DOCKER") return { step: "ENDED", order: "fuse.revoke" };
	return step === "REGISTER" ? { step: "REMOVE_ENVIRONMENT" } : { step: "REMOVE_AGENT", order: "agent.remove" };
}
