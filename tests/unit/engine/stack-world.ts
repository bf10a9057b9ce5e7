/** An engine in memory that takes a plan's steps: what would be seen after them. */
import { hashOf, serviceHash } from "../../../src/engine/stack-labels.ts";
import type { StackModel } from "../../../src/engine/stack-model.ts";
import { planStack, type Seen, type SeenContainer, type Step } from "../../../src/engine/stack-plan.ts";

export interface World extends Seen {
	/** How many containers were ever made. */
	readonly made: number;
}

/** An engine with the image `app` and nothing else. */
export const nothing: World = { containers: [], networks: [], volumes: [], images: { app: "sha256:app" }, made: 0 };

/** The world after the first so many steps of the plan for this model. Throws when the plan refuses, or a step cannot be. */
export function after(model: StackModel, from: Seen, steps = Number.POSITIVE_INFINITY): World {
	const plan = planStack(model, from);
	if (plan.kind === "refuse") throw new Error(plan.why);
	return plan.steps.slice(0, steps).reduce((world, step) => take(model, world, step), { made: 0, ...from } as World);
}

function take(model: StackModel, world: World, step: Step): World {
	const find = (key: string): SeenContainer => {
		const found = world.containers.find(({ id, name }) => id === key || name === key);
		if (found === undefined) throw new Error(`There is no container ${key}`);
		return found;
	};
	const change = (key: string, its: Partial<SeenContainer>): World => {
		const found = find(key);
		if (its.name !== undefined && world.containers.some(({ name }) => name === its.name)) throw new Error(`The name ${its.name} is in use`);
		return { ...world, containers: world.containers.map((it) => (it === found ? { ...it, ...its } : it)) };
	};
	switch (step.kind) {
		case "network.create": {
			const { name } = step.network;
			const made = { id: `n-${name}`, name, project: model.project, hash: hashOf(step.network) };
			return { ...world, networks: [...world.networks, made] };
		}
		case "network.remove":
			return { ...world, networks: world.networks.filter(({ id }) => id !== step.id) };
		case "volume.create": {
			const { name } = step.volume;
			return { ...world, volumes: [...world.volumes, { id: name, name, project: model.project, hash: hashOf(step.volume) }] };
		}
		case "container.create": {
			if (world.containers.some(({ name }) => name === step.name)) throw new Error(`The name ${step.name} is in use`);
			const made: SeenContainer = {
				id: String(world.made + 1).padStart(12, "0"),
				name: step.name,
				service: step.service.name,
				number: step.number,
				hash: serviceHash(model, step.service),
				imageId: world.images[step.service.image] ?? "",
				oneOff: false,
				state: "created",
				exitCode: null,
				needs: [],
			};
			return { ...world, containers: [...world.containers, made], made: world.made + 1 };
		}
		case "container.remove": {
			const gone = find(step.id);
			return { ...world, containers: world.containers.filter((it) => it !== gone) };
		}
		case "container.rename":
			return change(step.from, { name: step.to });
		case "container.start":
			return change(step.name, { state: "running", exitCode: null });
		case "wait":
			return world;
		default:
			return step satisfies never;
	}
}
