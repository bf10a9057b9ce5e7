import { checkStack, inOrder } from "./stack-check.ts";
import { hashOf, serviceHash } from "./stack-labels.ts";
import type { Condition, StackModel, StackNetwork, StackService, StackVolume } from "./stack-model.ts";

/** A container of the project as it was found. */
export interface SeenContainer {
	readonly id: string;
	readonly name: string;
	readonly service: string;
	readonly number: number;
	/** Of its labels; null when it has none. */
	readonly hash: string | null;
	/** The image it was made from. */
	readonly imageId: string;
	/** Made by `docker compose run`. */
	readonly oneOff: boolean;
	/** Docker's: created, running, paused, restarting, removing, exited, dead. */
	readonly state: string;
	/** Known of one that exited. */
	readonly exitCode: number | null;
	/** The services it depends on, by its labels. */
	readonly needs: readonly string[];
}

/** A network or volume: of this project, or by a name that the stack uses. */
export interface SeenPart {
	/** What to remove it by. */
	readonly id: string;
	readonly name: string;
	/** Whose it is by its labels; null: nobody's. */
	readonly project: string | null;
	readonly hash: string | null;
}

/** All that a plan depends on. */
export interface Seen {
	readonly containers: readonly SeenContainer[];
	readonly networks: readonly SeenPart[];
	readonly volumes: readonly SeenPart[];
	/** Reference → id of the image that is there. */
	readonly images: Readonly<Record<string, string>>;
}

/** One thing to do. Each may be done again after it was done half. */
export type Step =
	| { readonly kind: "network.create"; readonly network: StackNetwork }
	| { readonly kind: "network.remove"; readonly id: string; readonly name: string; readonly optional: boolean }
	| { readonly kind: "volume.create"; readonly volume: StackVolume }
	| {
			readonly kind: "container.create";
			readonly service: StackService;
			readonly number: number;
			readonly name: string;
			/** The one whose place it takes: that one's unnamed volumes come with it. */
			readonly replaces: SeenContainer | null;
	  }
	| {
			readonly kind: "container.remove";
			readonly id: string;
			readonly name: string;
			readonly stopSeconds: number | null;
			readonly why: string;
	  }
	/** By name or id: the one to rename may only be made by a step before. */
	| { readonly kind: "container.rename"; readonly from: string; readonly to: string }
	| { readonly kind: "container.start"; readonly service: StackService; readonly number: number; readonly name: string }
	| { readonly kind: "wait"; readonly service: string; readonly condition: Condition; readonly neededBy: string };

export type Plan =
	/** `notes`: what stays otherwise than the model says, for people. */
	| { readonly kind: "steps"; readonly steps: readonly Step[]; readonly notes: readonly string[] }
	| { readonly kind: "refuse"; readonly why: string; readonly code: "bad_request" | "conflict" | "not_found" };

/** Which services a plan is for. */
export interface Scope {
	/** This one only; undefined: all, and what belongs to none goes. */
	readonly only?: string;
}

/**
 * What is to be done to make of what was seen what the model says; nothing when it is so already. Pure: of the same model and sight the same
 * plan, and of a sight taken after some of its steps the rest of them.
 *
 * A container is made anew when its definition or its image's id is another: the new one is made first, under a name of its own, then the old
 * one goes, then the new one takes the name and starts. With `only` the containers that are there are kept as they are.
 */
export function planStack(model: StackModel, seen: Seen, scope: Scope = {}): Plan {
	const problems = checkStack(model);
	if (problems.length > 0)
		return { kind: "refuse", code: "bad_request", why: problems.map(({ path, message }) => `${path} ${message}`).join("; ") };
	const parts = planParts(model, seen);
	if (parts.kind === "refuse") return parts;

	const steps: Step[] = [];
	if (scope.only === undefined) steps.push(...orphans(model, seen));
	steps.push(...parts.steps);
	const begun = new Set(steps.flatMap((step) => (step.kind === "container.remove" ? [step.id] : [])));
	const left = seen.containers.filter(({ id }) => !begun.has(id));
	for (const service of inOrder(model.services)) {
		if (scope.only !== undefined && service.name !== scope.only) continue;
		const own = planService(model, { ...seen, containers: left }, service, scope.only !== undefined);
		const begins = own.some(({ kind }) => kind === "container.create" || kind === "container.start");
		const waits = service.dependsOn.filter(({ condition, service: needed }) => condition !== "service_started" && hasAny(model, needed));
		if (begins)
			steps.push(...waits.map((on): Step => ({ kind: "wait", service: on.service, condition: on.condition, neededBy: service.name })));
		steps.push(...own);
	}
	if (scope.only === undefined) steps.push(...lostNetworks(model, seen));
	return { kind: "steps", steps, notes: parts.notes };
}

/** Networks and volumes, with the containers that stand in the way of a network that is made anew. */
function planParts(model: StackModel, seen: Seen): Plan {
	const steps: Step[] = [];
	const notes: string[] = [];
	for (const network of model.networks) {
		const [found, ...twins] = seen.networks.filter(({ name }) => name === network.name).sort(byId);
		const refusal = refuse("network", network, found, model.project);
		if (refusal !== undefined) return refusal;
		// Docker lets two runs at once make two networks of one name, and then starts no container on either.
		steps.push(...twins.filter(({ project }) => project === model.project).map(({ id, name }) => lost(id, name)));
		if (network.external || found?.hash === hashOf(network)) continue;
		if (found !== undefined) {
			const users = model.services.filter(({ networks }) => networks.some(({ key }) => key === network.key)).map(({ name }) => name);
			for (const service of [...inOrder(model.services)].reverse())
				if (users.includes(service.name))
					for (const container of ofService(seen, service.name))
						if (!steps.some((step) => step.kind === "container.remove" && step.id === container.id))
							steps.push(removal(container, service, `network ${network.name} is made anew`));
			steps.push({ kind: "network.remove", id: found.id, name: found.name, optional: false });
		}
		steps.push({ kind: "network.create", network });
	}
	for (const volume of model.volumes) {
		const found = seen.volumes.find(({ name }) => name === volume.name);
		const refusal = refuse("volume", volume, found, model.project);
		if (refusal !== undefined) return refusal;
		if (volume.external || found?.hash === hashOf(volume)) continue;
		if (found === undefined) steps.push({ kind: "volume.create", volume });
		// What it holds is worth more than its definition; and one that Compose made has another hash.
		else notes.push(`volume ${volume.name}: is there and stays as it is; to have it made as the file says, remove it first`);
	}
	return { kind: "steps", steps, notes };
}

function refuse(
	what: "network" | "volume",
	part: StackNetwork | StackVolume,
	found: SeenPart | undefined,
	project: string,
): (Plan & { readonly kind: "refuse" }) | undefined {
	if (part.external)
		return found === undefined
			? { kind: "refuse", code: "not_found", why: `There is no ${what} "${part.name}", and it is external: make it on the host first` }
			: undefined;
	if (found !== undefined && found.project !== project) {
		const whose = found.project === null ? "of no project" : `of the project "${found.project}"`;
		return {
			kind: "refuse",
			code: "conflict",
			why: `The ${what} "${part.name}" is there already and ${whose}: declare it external, or give another name`,
		};
	}
	return undefined;
}

/** The steps that bring one service's containers to the number and form it shall have. */
function planService(model: StackModel, seen: Seen, service: StackService, keep: boolean): Step[] {
	const hash = serviceHash(model, service);
	const imageId = seen.images[service.image];
	const fits = (container: SeenContainer) => keep || (container.hash === hash && (imageId === undefined || container.imageId === imageId));
	const groups = Map.groupBy(
		ofService(seen, service.name).filter(({ state }) => state !== "removing"),
		({ number }) => number,
	);
	const numbers = [...groups.keys()].sort((left, right) => left - right);
	const wanted = numbers.slice(0, service.replicas);
	for (let next = 1; wanted.length < service.replicas; next++) if (!groups.has(next)) wanted.push(next);

	const steps: Step[] = [];
	for (const number of numbers.filter((one) => !wanted.includes(one)).reverse())
		for (const container of groups.get(number) ?? []) steps.push(removal(container, service, "one of too many"));
	for (const number of wanted.sort((left, right) => left - right)) {
		const name = containerName(model, service, number);
		const group = groups.get(number) ?? [];
		const good = group.filter((it) => fits(it) && it.state !== "dead").sort(byWorth(name));
		const [kept] = good;
		const old = group.filter((it) => it !== kept);
		if (kept === undefined) {
			const replaces = old.find((it) => it.name === name) ?? old[0] ?? null;
			const made = replaces === null ? name : interimName(replaces, name);
			steps.push({ kind: "container.create", service, number, name: made, replaces });
			steps.push(...old.map((it) => removal(it, service, "its definition or image is another")));
			if (made !== name) steps.push({ kind: "container.rename", from: made, to: name });
			steps.push({ kind: "container.start", service, number, name });
			continue;
		}
		steps.push(...old.map((it) => removal(it, service, "its definition or image is another")));
		if (kept.name !== name && !keep) steps.push({ kind: "container.rename", from: kept.id, to: name });
		if (!stands(model, service, kept)) steps.push({ kind: "container.start", service, number, name: keep ? kept.name : name });
	}
	return steps;
}

/** Whether a container needs no start. One that others wait to have finished, and that did so well, is not run a second time. */
function stands(model: StackModel, service: StackService, { state, exitCode }: SeenContainer): boolean {
	if (state === "running" || state === "restarting" || state === "paused") return true;
	const awaited = model.services.some(({ dependsOn }) =>
		dependsOn.some((on) => on.service === service.name && on.condition === "service_completed_successfully"),
	);
	return awaited && state === "exited" && exitCode === 0;
}

function orphans(model: StackModel, seen: Seen): Step[] {
	const known = new Set(model.services.map(({ name }) => name));
	return seen.containers
		.filter(({ oneOff, service, state }) => !oneOff && !known.has(service) && state !== "removing")
		.map((container) => removal(container, undefined, "its service is not in the stack"));
}

function lostNetworks(model: StackModel, seen: Seen): Step[] {
	const known = new Set(model.networks.map(({ name }) => name));
	return seen.networks.filter(({ project, name }) => project === model.project && !known.has(name)).map(({ id, name }) => lost(id, name));
}

const byId = (left: SeenPart, right: SeenPart): number => (left.id < right.id ? -1 : 1);
const lost = (id: string, name: string): Step => ({ kind: "network.remove", id, name, optional: true });

const ofService = (seen: Seen, service: string): readonly SeenContainer[] =>
	seen.containers.filter((container) => container.service === service && !container.oneOff);

const hasAny = (model: StackModel, service: string): boolean =>
	model.services.some(({ name, replicas }) => name === service && replicas > 0);

function removal({ id, name }: SeenContainer, service: StackService | undefined, why: string): Step {
	return { kind: "container.remove", id, name, stopSeconds: service?.stopGraceSeconds ?? null, why };
}

/** Which of several for one place stays: one that runs, then the one that has the name. */
function byWorth(name: string): (left: SeenContainer, right: SeenContainer) => number {
	const worth = (it: SeenContainer) => (it.state === "running" ? 2 : 0) + (it.name === name ? 1 : 0);
	return (left, right) => worth(right) - worth(left) || (left.id < right.id ? -1 : 1);
}

/** `<project>-<service>-<n>`, or the name that the service gives. */
export function containerName(model: StackModel, service: StackService, number: number): string {
	return service.containerName ?? `${model.project}-${service.name}-${number}`;
}

/** The name of a container that waits for another's place: as Compose makes it, and the same each time, so that none is made twice. */
function interimName(old: SeenContainer, name: string): string {
	return `${old.id.slice(0, 12)}_${name}`;
}
