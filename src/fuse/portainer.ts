import { openEngine } from "../engine/engine.ts";
import { EngineError } from "../engine/error.ts";
import { engineInfo } from "../engine/info.ts";
import type { FusionRecord } from "./fusion.ts";
import type { FuseProviderPort, StepContext, StepResult } from "./port.ts";
import { type PortainerClient, portainerClient, PortainerError, type PortainerPlace } from "./portainer-client.ts";
import { portainerTransport } from "./portainer-transport.ts";

const waitSeconds = 1;
/** An undoing is tried again after this, up to a minute. */
const undoBackoffSeconds = [1, 2, 5, 15, 30, 60] as const;
/** Twice the check-in interval, and room for a busy Portainer. */
const firstCallMs = 30_000;

/** Fusing by Portainer: an Edge environment, its agent's check-in, and one call to the engine through its proxy (H11). */
export function portainerProvider(place: PortainerPlace): FuseProviderPort {
	const client = portainerClient(place);
	return {
		async step(fusion, context, signal) {
			try {
				return await doStep(client, place, fusion, context, signal);
			} catch (error) {
				signal.throwIfAborted();
				return afterError(fusion, error);
			}
		},
		forget: (environmentId, signal) => client.remove(environmentId, signal),
	};
}

async function doStep(
	client: PortainerClient,
	place: PortainerPlace,
	fusion: FusionRecord,
	context: StepContext,
	signal: AbortSignal,
): Promise<StepResult> {
	const { step, environmentId, environmentName } = fusion;
	switch (step) {
		case "REGISTER": {
			const image = place.agentImage ?? `portainer/agent:${await client.version(signal)}`;
			const { Id, EdgeID, EdgeKey } = await client.register(environmentName ?? fusion.id, signal);
			// A server that hands out Edge ids takes no other.
			const agent = { image, edgeId: EdgeID === "" ? fusion.challenge : EdgeID, edgeKey: EdgeKey, insecurePoll: place.insecureTls };
			return { kind: "event", event: { kind: "registered", environmentId: Id }, agent };
		}
		case "CHECK_IN": {
			const environment = environmentId === null ? undefined : await client.environment(environmentId, signal);
			if (environment === undefined) return failed(`environment ${environmentId} is gone from Portainer; fuse the host again`);
			// Not `Status`, which is "up" from the beginning.
			if (environment.LastCheckInDate > 0 && environment.Heartbeat) return { kind: "event", event: { kind: "checked-in" } };
			return {
				kind: "wait",
				afterSeconds: waitSeconds,
				error: `the Edge agent has not checked in yet; can the host reach ${place.edgeUrl}?`,
			};
		}
		case "CONNECT": {
			const limited = AbortSignal.any([signal, AbortSignal.timeout(firstCallMs)]);
			const engine = await openEngine(portainerTransport(place, environmentId ?? 0), { signal: limited });
			const { id } = await engineInfo(engine, { signal: limited });
			const reported = await context.reportedEngine();
			if (reported !== undefined && reported !== id)
				return failed(`Portainer's agent is at engine "${id}", the host's worker at "${reported}": let both use the same socket`);
			return { kind: "event", event: { kind: "connected", engineId: id } };
		}
		case "REMOVE_ENVIRONMENT": {
			const id = environmentId ?? (environmentName === null ? undefined : (await client.findEnvironment(environmentName, signal))?.Id);
			if (id !== undefined) await client.remove(id, signal);
			return { kind: "event", event: { kind: "environment-gone" } };
		}
		default:
			return { kind: "wait", afterSeconds: waitSeconds, error: null };
	}
}

/** What an error comes to: what may pass is tried again, by the watchdog's leave; undoing is never given up for an answer. Pure. */
export function afterError({ step, attempts }: Pick<FusionRecord, "step" | "attempts">, error: unknown): StepResult {
	const message = error instanceof Error ? error.message : String(error);
	if (step === "REMOVE_ENVIRONMENT") {
		const afterSeconds = undoBackoffSeconds[Math.min(attempts, undoBackoffSeconds.length) - 1] ?? 60;
		return { kind: "wait", afterSeconds, error: message };
	}
	const passing = error instanceof PortainerError ? error.passing : !(error instanceof EngineError) || mayPass(error);
	return passing ? { kind: "wait", afterSeconds: waitSeconds, error: message } : failed(message);
}

/** Behind the proxy: the tunnel may come up yet; a refusal of Portainer's own does not change. */
function mayPass({ code, status }: EngineError): boolean {
	return code === "docker_unavailable" || (status !== undefined && status >= 500);
}

function failed(message: string): StepResult {
	return { kind: "event", event: { kind: "failed", source: "portainer_error", message } };
}
