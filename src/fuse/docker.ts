import * as v from "valibot";
import { onCommandEnd } from "../commands/commands.ts";
import type { CommandRecord } from "../commands/command.ts";
import type { CommandEndHandler } from "../commands/ends.ts";
import { lockHosts } from "../hosts/store.ts";
import { type EngineReportHandler, onEngineReport } from "../inventory/reports.ts";
import { applyToFusion } from "./apply.ts";
import type { FusionRecord } from "./fusion.ts";
import type { FusionEvent } from "./machine.ts";
import { lockFusionOfCommand, lockLiveFusion } from "./store.ts";

const proof = v.object({ engineId: v.pipe(v.string(), v.nonEmpty()) });
const kinds = ["fuse.prove", "fuse.grant", "agent.deploy", "agent.remove"] as const;

/** What the end of a step's command means for its fusion. Pure. */
export function eventOfEnd(
	fusion: Pick<FusionRecord, "step">,
	{ state, kind, result, errorMessage }: Pick<CommandRecord, "state" | "kind" | "result" | "errorMessage">,
): FusionEvent | undefined {
	// The agent may be gone or out of reach; its environment goes all the same, and an agent without one is let in nowhere.
	if (fusion.step === "REMOVE_AGENT") return { kind: "agent-gone" };
	if (state === "EXPIRED")
		return { kind: "failed", source: "watchdog_timeout", message: `the worker did not end ${kind} in time; see whether it is online` };
	if (state !== "SUCCEEDED")
		return { kind: "failed", source: "docker_error", message: `${kind} ${state.toLowerCase()}: ${errorMessage ?? "no reason is known"}` };
	switch (kind) {
		case "fuse.prove": {
			const proven = v.safeParse(proof, result);
			if (proven.success) return { kind: "proved", engineId: proven.output.engineId };
			return { kind: "failed", source: "docker_error", message: "the worker's proof names no engine: update the worker" };
		}
		case "fuse.grant":
			return { kind: "granted" };
		case "agent.deploy":
			return { kind: "deployed" };
		default:
			return undefined;
	}
}

const onEnd: CommandEndHandler = async (tx, deps, command) => {
	const { tenantId, id, hostId } = command;
	await lockHosts(tx, [hostId]);
	const fusion = await lockFusionOfCommand(tx, tenantId, id);
	const event = fusion && eventOfEnd(fusion, command);
	if (fusion === undefined || event === undefined) return;
	if (fusion.step === "REMOVE_AGENT" && command.state !== "SUCCEEDED")
		deps.log.warn("fuse.agent_left", { hostId, fusionId: fusion.id, why: command.errorMessage ?? command.state });
	await applyToFusion(deps, tx, fusion, { event, actor: "server" });
};

/** A host whose engine is another than the pinned one is unfused in the transaction of the report (H11). One that has no engine for a while is not. */
const onReport: EngineReportHandler = async (tx, deps, host, { engineId }) => {
	if (engineId === null || host.fuseProvider === null) return;
	const fusion = await lockLiveFusion(tx, host.tenantId, host.id);
	if (fusion?.step !== "FUSED" || fusion.engineId === engineId) return;
	await applyToFusion(deps, tx, fusion, { event: { kind: "undo", why: "engine-changed" }, actor: "server" });
};

/** Has fusions follow what workers say: the ends of their steps' commands, and their engines. Returns what takes it back. */
export function followWorkers(): () => void {
	const undo = [...kinds.map((kind) => onCommandEnd(kind, onEnd)), onEngineReport(onReport)];
	return () => {
		for (const step of undo) step();
	};
}
