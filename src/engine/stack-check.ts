import type { StackModel, StackService } from "./stack-model.ts";

/** Something about a stack that cannot be, with the place in its compose file. */
export interface StackProblem {
	readonly path: string;
	/** What is wrong and the remedy; follows the path in a sentence. */
	readonly message: string;
}

/** What no engine could carry out: circles, what is named and not there, several containers for one name or port. Empty: nothing. */
export function checkStack(model: StackModel): readonly StackProblem[] {
	const services = new Set(model.services.map(({ name }) => name));
	const networks = new Set(model.networks.map(({ key }) => key));
	const volumes = new Set(model.volumes.map(({ key }) => key));
	const problems: StackProblem[] = [];
	const say = (path: string, message: string) => problems.push({ path, message });
	for (const service of model.services) {
		const at = `services.${service.name}`;
		for (const { service: needed } of service.dependsOn)
			if (!services.has(needed)) say(`${at}.depends_on`, `names "${needed}", which is no service of this file: add it or take it out`);
		for (const { key } of service.networks)
			if (!networks.has(key)) say(`${at}.networks`, `names "${key}", which is not under the top-level networks: add it there`);
		for (const { type, source } of service.mounts)
			if (type === "volume" && source !== null && !volumes.has(source))
				say(`${at}.volumes`, `names "${source}", which is not under the top-level volumes: add it there`);
		if (service.replicas > 1) problems.push(...manyProblems(service, at));
	}
	const circle = dependencyCircle(model.services);
	if (circle !== undefined) say(`services.${circle[0]}.depends_on`, `goes in a circle: ${circle.join(" → ")}; take one of them out`);
	for (const [name, twins] of Map.groupBy(model.services, ({ containerName }) => containerName))
		if (name !== null && twins.length > 1)
			say(`services.${twins[1]?.name}.container_name`, `is "${name}", as that of ${twins[0]?.name}: give each its own`);
	return problems;
}

function manyProblems({ containerName, ports, networks, replicas }: StackService, at: string): StackProblem[] {
	const problems: StackProblem[] = [];
	if (containerName !== null)
		problems.push({ path: `${at}.container_name`, message: `cannot be the name of ${replicas} containers: take it out, or have one` });
	const fixed = ports.find(({ published }) => published !== null && !published.includes("-"));
	if (fixed !== undefined)
		problems.push({
			path: `${at}.ports`,
			message: `cannot publish ${fixed.published} for ${replicas} containers: publish a range or no port of the host's, or have one`,
		});
	if (networks.some(({ ipv4Address }) => ipv4Address !== null))
		problems.push({
			path: `${at}.networks`,
			message: `cannot give one ipv4_address to ${replicas} containers: take it out, or have one`,
		});
	return problems;
}

/** The services, each after those it depends on, otherwise by name. A circle's members come by name: `checkStack` refuses them. */
export function inOrder(services: readonly StackService[]): readonly StackService[] {
	const byName = new Map(services.map((service) => [service.name, service]));
	const placed = new Set<string>();
	const ordered: StackService[] = [];
	const place = (service: StackService): void => {
		if (placed.has(service.name)) return;
		placed.add(service.name);
		for (const needed of service.dependsOn.map((dependency) => dependency.service).sort()) {
			const other = byName.get(needed);
			if (other !== undefined) place(other);
		}
		ordered.push(service);
	};
	for (const key of [...byName.keys()].sort()) {
		const service = byName.get(key);
		if (service !== undefined) place(service);
	}
	return ordered;
}

/** One circle among the dependencies, beginning and ending with the same service. */
function dependencyCircle(services: readonly StackService[]): readonly string[] | undefined {
	const needs = new Map(services.map(({ name, dependsOn }) => [name, dependsOn.map(({ service }) => service)]));
	const done = new Set<string>();
	const walk = (name: string, trail: readonly string[]): readonly string[] | undefined => {
		const at = trail.indexOf(name);
		if (at >= 0) return [...trail.slice(at), name];
		if (done.has(name)) return undefined;
		for (const next of needs.get(name) ?? []) {
			const found = walk(next, [...trail, name]);
			if (found !== undefined) return found;
		}
		done.add(name);
		return undefined;
	};
	for (const name of needs.keys()) {
		const found = walk(name, []);
		if (found !== undefined) return found;
	}
	return undefined;
}
