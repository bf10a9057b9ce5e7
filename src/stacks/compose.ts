import { checkStack, type StackProblem } from "../engine/stack-check.ts";
import type { StackModel, StackNetwork, StackService } from "../engine/stack-model.ts";
import { type At, entries, type Readers, readMap, text, wrong } from "./compose-at.ts";
import { interpolateAll } from "./compose-interpolate.ts";
import { readNetworks, readVolumes } from "./compose-parts.ts";
import { readService } from "./compose-service.ts";
import { readYaml } from "./compose-yaml.ts";

export type Compose =
	| { readonly kind: "stack"; readonly model: StackModel }
	/** All that is wrong with the file, each with its place and the remedy. None holds the value of a variable. */
	| { readonly kind: "problems"; readonly problems: readonly StackProblem[] };

const servicesMax = 100;
const problemsMax = 100;
const messageCharactersMax = 300;

const instead: Readonly<Record<string, string>> = {
	include: "write everything into this file",
	configs: "put the content into an image or a volume",
	secrets: "put the content into a volume, or give it in environment",
};

/**
 * What a compose file comes to for a project of this name, with these variables. A key that is not known is a problem, never passed over, but
 * for `version`, which Compose does not read either, and those that begin with `x-`. Pure; never throws.
 */
export function readCompose(source: string, project: string, variables: ReadonlyMap<string, string>): Compose {
	const yaml = readYaml(source);
	if ("problems" in yaml) return { kind: "problems", problems: yaml.problems };
	const problems: StackProblem[] = [];
	const value = interpolateAll(yaml.value, variables, problems);
	if (problems.length > 0) return { kind: "problems", problems: clean(problems, variables) };

	const at: At = { value, path: "", problems };
	const file = { services: [] as StackService[], networks: [] as StackNetwork[], volumes: [] as StackModel["volumes"] };
	const readers: Readers = {
		version: () => undefined,
		name: (it) => {
			if (text(it) !== project) wrong(it, `is another than the stack's, ${project}: deploy it under that name, or take it out`);
		},
		services: (it) => {
			const all = entries(it);
			if (all.length > servicesMax) wrong(it, `has more than ${servicesMax} services: make it several stacks`);
			else file.services = all.map(([name, its]) => readService(its, name, variables));
		},
		networks: (it) => {
			file.networks = readNetworks(it, project);
		},
		volumes: (it) => {
			file.volumes = readVolumes(it, project);
		},
	};
	readMap({ ...at, path: "" }, readers, instead);
	if (problems.length === 0 && file.services.length === 0) wrong({ ...at, path: "services" }, "has no service: name one with its image");
	const model = withDefault({ project, ...file });
	if (problems.length === 0) problems.push(...checkStack(model));
	return problems.length > 0 ? { kind: "problems", problems: clean(problems, variables) } : { kind: "stack", model };
}

/**
 * Problems as people may see them: a variable's value, or a part of it, is shown as the variable. Values of less than four characters are
 * no secrets, and to look for them would take ordinary words apart.
 */
function clean(problems: readonly StackProblem[], variables: ReadonlyMap<string, string>): readonly StackProblem[] {
	const values = [...variables].filter(([, value]) => value.length >= 4).sort(([, left], [, right]) => right.length - left.length);
	const whole = (text: string) => values.reduce((out, [name, value]) => out.replaceAll(value, () => `\${${name}}`), text);
	const quoted = (text: string) => {
		const inner = String(JSON.parse(text));
		const [of] = values.find(([, value]) => inner.length >= 4 && value.includes(inner)) ?? [];
		return JSON.stringify(of === undefined ? whole(inner) : `\${${of}}`);
	};
	return problems.slice(0, problemsMax).map(({ path, message }) => {
		const said = whole(message.replace(/"(?:[^"\\]|\\.)*"/gs, quoted));
		return { path, message: said.length > messageCharactersMax ? `${said.slice(0, messageCharactersMax)}…` : said };
	});
}

/** With the project's own network when a service is on it, and without those networks and volumes that none uses, as Compose makes them. */
function withDefault(model: StackModel): StackModel {
	const used = new Set(model.services.flatMap(({ networks }) => networks.map(({ key }) => key)));
	const mounted = new Set(
		model.services.flatMap(({ mounts }) => mounts.flatMap(({ type, source }) => (type === "volume" && source !== null ? [source] : []))),
	);
	const own: StackNetwork = {
		key: "default",
		name: `${model.project}_default`,
		external: false,
		driver: null,
		driverOptions: {},
		internal: false,
		attachable: false,
		enableIpv6: false,
		subnets: [],
		labels: {},
	};
	const named = model.networks.some(({ key }) => key === "default") ? model.networks : [...model.networks, own];
	return { ...model, networks: named.filter(({ key }) => used.has(key)), volumes: model.volumes.filter(({ key }) => mounted.has(key)) };
}
