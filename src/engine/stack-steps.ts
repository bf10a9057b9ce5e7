import { setTimeout } from "node:timers/promises";
import { absurd } from "../lib/absurd.ts";
import { createContainer, inspectContainer, removeContainer, startContainer, stopContainer } from "./containers.ts";
import { act, type Engine } from "./engine.ts";
import { EngineError } from "./error.ts";
import { inspectImage } from "./images.ts";
import { connectNetwork, createNetwork, listNetworks, removeNetwork } from "./networks.ts";
import { absent } from "./stack-absent.ts";
import type { StackModel, StackNetwork } from "./stack-model.ts";
import type { Step } from "./stack-plan.ts";
import { seeContainers } from "./stack-see.ts";
import { containerSpec, endpointsOf, type InheritedVolume, networkSpec, volumeSpec } from "./stack-spec.ts";
import { createVolume } from "./volumes.ts";

/** What goes with carrying out a stack's change. */
export interface StackRun {
	/** Ends it between and within steps; what was done stays, and the next run goes on from there. */
	readonly signal: AbortSignal;
	/** Gets a line for each thing that is done. */
	readonly say: (line: string) => void;
	/** How long one service is waited for. Default ten minutes. */
	readonly waitMs?: number;
}

const waitMsDefault = 600_000;
const lookAgainMs = 500;

/** Does one step. Rejects with `EngineError`; `conflict` and `not_found` also when another has changed the project meanwhile. */
export async function takeStep(engine: Engine, model: StackModel, step: Step, run: StackRun): Promise<void> {
	const options = { signal: run.signal };
	switch (step.kind) {
		case "network.create":
			return createOneNetwork(engine, model, step.network, run);
		case "network.remove":
			return removeNetworkStep(engine, step, run);
		case "volume.create":
			await createVolume(engine, volumeSpec(model, step.volume), options);
			return run.say(`volume ${step.volume.name}: created`);
		case "container.create":
			return create(engine, model, step, run);
		case "container.remove":
			run.say(`container ${step.name}: stopping, ${step.why}`);
			await retire(engine, step.id, { stopSeconds: step.stopSeconds, volumes: false }, run);
			return run.say(`container ${step.name}: removed`);
		case "container.rename":
			await act(engine, {
				...options,
				method: "POST",
				path: `/containers/${encodeURIComponent(step.from)}/rename`,
				query: { name: step.to },
			});
			return;
		case "container.start": {
			const { service, number, name } = step;
			const { Id, NetworkSettings } = await inspectContainer(engine, name, options);
			const on = Object.keys(NetworkSettings?.Networks ?? {});
			for (const { network, endpoint } of endpointsOf(model, service, number))
				if (!on.includes(network)) await connectNetwork(engine, network, Id, endpoint, options);
			await startContainer(engine, Id, options);
			return run.say(`container ${name}: started`);
		}
		case "wait":
			return waitFor(engine, model, step, run);
		default:
			return absurd(step);
	}
}

/** Stops and removes a container; one that is gone already is as well. Its named volumes stay; `volumes`: the unnamed ones go. */
export async function retire(
	engine: Engine,
	id: string,
	how: { readonly stopSeconds: number | null; readonly volumes: boolean },
	{ signal }: StackRun,
): Promise<void> {
	await stopContainer(engine, id, how.stopSeconds, { signal }).catch(absent);
	await removeContainer(engine, id, { force: true, volumes: how.volumes }, { signal }).catch((error: unknown) => {
		// Docker says 409 when its removal is under way already.
		if (error instanceof EngineError && error.status === 409 && error.message.includes("already in progress")) return undefined;
		return absent(error);
	});
}

async function create(engine: Engine, model: StackModel, step: Step & { readonly kind: "container.create" }, run: StackRun): Promise<void> {
	const { service, number, replaces, name } = step;
	const options = { signal: run.signal };
	const { Id: imageId } = await inspectImage(engine, service.image, options);
	const inherited = replaces === null ? [] : await unnamedVolumes(engine, replaces.id, run);
	const spec = containerSpec(model, service, { number, imageId, replaces: replaces?.name ?? null, inherited });
	const { warnings } = await createContainer(engine, name, spec, options);
	run.say(`container ${name}: created`);
	for (const warning of warnings) run.say(`container ${name}: Docker warns: ${warning}`);
}

/** Those of the container's volumes that Docker named: 64 hex digits. */
async function unnamedVolumes(engine: Engine, id: string, { signal }: StackRun): Promise<readonly InheritedVolume[]> {
	const details = await inspectContainer(engine, id, { signal }).catch(absent);
	const mounts: unknown = details?.["Mounts"];
	if (!Array.isArray(mounts)) return [];
	return mounts.flatMap((mount: Readonly<Record<string, unknown>>) => {
		const { Type: type, Name: name, Destination: target } = mount;
		return type === "volume" && typeof name === "string" && /^[0-9a-f]{64}$/.test(name) && typeof target === "string"
			? [{ name, target }]
			: [];
	});
}

/** Makes a network unless another run makes it at the same time: of two of one name, which Docker lets happen, the one with the lower id stays. */
async function createOneNetwork(engine: Engine, model: StackModel, network: StackNetwork, { signal, say }: StackRun): Promise<void> {
	const own = await createNetwork(engine, networkSpec(model, network), { signal });
	const twins = (await listNetworks(engine, { name: [network.name] }, { signal })).filter(({ Name }) => Name === network.name);
	if (twins.some(({ Id }) => Id < own)) {
		await removeNetwork(engine, own, { signal }).catch(absent);
		return;
	}
	say(`network ${network.name}: created`);
}

async function removeNetworkStep(engine: Engine, step: Step & { readonly kind: "network.remove" }, run: StackRun): Promise<void> {
	try {
		await removeNetwork(engine, step.id, { signal: run.signal });
	} catch (error) {
		if (!(error instanceof EngineError) || (error.code !== "not_found" && !(step.optional && error.status === 403))) throw error;
		// 403: containers of others are on it.
		return run.say(error.code === "not_found" ? `network ${step.name}: gone` : `network ${step.name}: stays, ${error.message}`);
	}
	run.say(`network ${step.name}: removed`);
}

/** Resolves when every container of the service is what the other one waits for. Rejects when one never will be. */
async function waitFor(engine: Engine, model: StackModel, step: Step & { readonly kind: "wait" }, run: StackRun): Promise<void> {
	const limit = AbortSignal.timeout(run.waitMs ?? waitMsDefault);
	const signal = AbortSignal.any([run.signal, limit]);
	const healthy = step.condition === "service_healthy";
	run.say(`service ${step.neededBy}: waits until ${step.service} ${healthy ? "is healthy" : "has finished"}`);
	try {
		for (;;) {
			const containers = (await seeContainers(engine, model.project, { signal })).filter((it) => it.service === step.service && !it.oneOff);
			const done = await Promise.all(
				containers.map(({ name }) => (healthy ? isHealthy(engine, name, signal) : hasFinished(engine, name, signal))),
			);
			if (done.length > 0 && done.every(Boolean)) return;
			await setTimeout(lookAgainMs, undefined, { signal });
		}
	} catch (error) {
		if (!limit.aborted || run.signal.aborted) throw run.signal.aborted ? run.signal.reason : error;
		const seconds = Math.round((run.waitMs ?? waitMsDefault) / 1_000);
		throw new EngineError(
			"docker_error",
			`Cannot start ${step.neededBy}: ${step.service} was not ${healthy ? "healthy" : "finished"} within ${seconds} s; see its log`,
		);
	}
}

async function isHealthy(engine: Engine, name: string, signal: AbortSignal): Promise<boolean> {
	const { State } = await inspectContainer(engine, name, { signal });
	if (State.Status === "exited" || State.Status === "dead")
		throw new EngineError("docker_error", `Container ${name} ended with code ${State.ExitCode} before it was healthy; see its log`);
	const status = State.Health?.Status;
	if (status === undefined)
		throw new EngineError(
			"bad_request",
			`Container ${name} has no healthcheck, and another service waits for it to be healthy: give it one`,
		);
	if (status === "unhealthy") throw new EngineError("docker_error", `Container ${name} is unhealthy; see its log`);
	return status === "healthy";
}

async function hasFinished(engine: Engine, name: string, signal: AbortSignal): Promise<boolean> {
	const { State } = await inspectContainer(engine, name, { signal });
	if (State.Status !== "exited") return false;
	if (State.ExitCode !== 0) throw new EngineError("docker_error", `Container ${name} ended with code ${State.ExitCode}; see its log`);
	return true;
}
