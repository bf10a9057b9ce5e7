import { setTimeout } from "node:timers/promises";
import type { Engine } from "./engine.ts";
import { EngineError } from "./error.ts";
import { findImage, pullImage } from "./images.ts";
import { listNetworks, removeNetwork } from "./networks.ts";
import { absent } from "./stack-absent.ts";
import { composeLabels } from "./stack-labels.ts";
import type { StackModel } from "./stack-model.ts";
import { planStack, type Scope, type SeenContainer } from "./stack-plan.ts";
import { seeContainers, seeStack } from "./stack-see.ts";
import { retire, type StackRun, takeStep } from "./stack-steps.ts";
import { listVolumes, removeVolume } from "./volumes.ts";

/** What a project's containers are after a change. */
export interface StackResult {
	readonly containers: readonly {
		readonly id: string;
		readonly name: string;
		readonly service: string;
		readonly state: string;
	}[];
	/** How many steps this run took; 0: everything was so already. */
	readonly steps: number;
}

/** How often a plan is made anew because somebody else changed the project meanwhile. */
const plansMax = 5;
const lookAgainMs = 500;

/**
 * Makes the host's project what the model says: fetches images, makes what is missing, replaces what is another, removes what is not in it
 * (containers and networks; volumes stay). May be run again after it ended at any point, by anyone, and beside another run: everything is
 * found by its labels and names, so nothing is made twice. Rejects with `EngineError`, or the signal's reason.
 */
export async function convergeStack(engine: Engine, model: StackModel, run: StackRun, scope: Scope = {}): Promise<StackResult> {
	await fetchImages(engine, model, run, scope);
	let steps = 0;
	for (let attempt = 1; ; attempt++) {
		const plan = planStack(model, await seeStack(engine, model, { signal: run.signal }), scope);
		if (plan.kind === "refuse") throw new EngineError(plan.code, plan.why);
		if (attempt === 1) for (const note of plan.notes) run.say(note);
		try {
			for (const step of plan.steps) {
				run.signal.throwIfAborted();
				await takeStep(engine, model, step, run);
				steps++;
			}
			break;
		} catch (error) {
			if (!isChanged(error) || attempt === plansMax) throw error;
			run.say(`looking again: ${error.message}`);
			await setTimeout(lookAgainMs, undefined, { signal: run.signal });
		}
	}
	if (steps === 0) run.say(`stack ${model.project}: nothing to do`);
	return { containers: (await seeContainers(engine, model.project, { signal: run.signal })).map(shown), steps };
}

/** Brings one service of a stack to so many containers. Those that stay are not replaced. Otherwise as `convergeStack`; `not_found`: no such service. */
export async function scaleStack(
	engine: Engine,
	model: StackModel,
	to: { readonly service: string; readonly replicas: number },
	run: StackRun,
): Promise<StackResult> {
	if (!model.services.some(({ name }) => name === to.service))
		throw new EngineError("not_found", `The stack "${model.project}" has no service "${to.service}"`);
	const services = model.services.map((service) => (service.name === to.service ? { ...service, replicas: to.replicas } : service));
	return convergeStack(engine, { ...model, services }, run, { only: to.service });
}

/**
 * Removes all of a project: containers, those that others depend on last, then networks, with `volumes` its volumes and what they hold. What
 * is gone already is passed over, so it may be run again.
 */
export async function removeStack(
	engine: Engine,
	project: string,
	how: { readonly volumes: boolean },
	run: StackRun,
): Promise<StackResult> {
	const options = { signal: run.signal };
	const filters = { label: [`${composeLabels.project}=${project}`] };
	let steps = 0;
	for (const { id, name } of dependentsFirst(await seeContainers(engine, project, options))) {
		run.signal.throwIfAborted();
		await retire(engine, id, { stopSeconds: null, volumes: how.volumes }, run);
		run.say(`container ${name}: removed`);
		steps++;
	}
	for (const { Id, Name } of await listNetworks(engine, filters, options)) {
		await removeNetwork(engine, Id, options).catch(absent);
		run.say(`network ${Name}: removed`);
		steps++;
	}
	for (const { Name } of how.volumes ? await listVolumes(engine, filters, options) : []) {
		await removeVolume(engine, Name, options).catch(absent);
		run.say(`volume ${Name}: removed`);
		steps++;
	}
	if (steps === 0) run.say(`stack ${project}: nothing to remove`);
	return { containers: [], steps };
}

/** Whether the engine refused because it is no longer as it was seen. */
function isChanged(error: unknown): error is EngineError {
	if (!(error instanceof EngineError)) return false;
	return error.code === "conflict" || error.code === "not_found" || error.message.includes("is ambiguous");
}

async function fetchImages(engine: Engine, model: StackModel, run: StackRun, scope: Scope): Promise<void> {
	const used = model.services.filter(({ name, replicas }) => replicas > 0 && (scope.only === undefined || scope.only === name));
	for (const [image, users] of Map.groupBy(used, (service) => service.image)) {
		const always = users.some(({ pull }) => pull === "always");
		if (!always && (await findImage(engine, image, { signal: run.signal })) !== undefined) continue;
		if (users.every(({ pull }) => pull === "never"))
			throw new EngineError("not_found", `There is no image "${image}" on the host, and pull_policy is never: load it there first`);
		run.say(`image ${image}: pulling`);
		for await (const _ of pullImage(engine, image, { signal: run.signal })) run.signal.throwIfAborted();
		run.say(`image ${image}: pulled`);
	}
}

/** Each container before those whose service its own depends on, as far as their labels tell without a circle. */
function dependentsFirst(containers: readonly SeenContainer[]): readonly SeenContainer[] {
	const services = Map.groupBy(containers, ({ service }) => service);
	const placed = new Set<string>();
	const order: SeenContainer[] = [];
	const place = (service: string): void => {
		const own = services.get(service);
		if (own === undefined || placed.has(service)) return;
		placed.add(service);
		for (const needed of own.flatMap(({ needs }) => needs)) place(needed);
		order.push(...own);
	};
	for (const service of [...services.keys()].sort()) place(service);
	return order.reverse();
}

function shown({ id, name, service, state }: SeenContainer): StackResult["containers"][number] {
	return { id, name, service, state };
}
