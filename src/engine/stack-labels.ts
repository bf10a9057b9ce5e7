import { createHash } from "node:crypto";
import type { StackModel, StackNetwork, StackService, StackVolume } from "./stack-model.ts";

/** The labels that Docker Compose finds its projects by (its pkg/api/labels.go, version 2.40). */
export const composeLabels = {
	project: "com.docker.compose.project",
	service: "com.docker.compose.service",
	number: "com.docker.compose.container-number",
	hash: "com.docker.compose.config-hash",
	oneOff: "com.docker.compose.oneoff",
	version: "com.docker.compose.version",
	configFiles: "com.docker.compose.project.config_files",
	workingDir: "com.docker.compose.project.working_dir",
	dependsOn: "com.docker.compose.depends_on",
	image: "com.docker.compose.image",
	replace: "com.docker.compose.replace",
	network: "com.docker.compose.network",
	volume: "com.docker.compose.volume",
} as const;

/** The Compose whose labels these are. */
const composeVersion = "2.40.3";

/** Where Compose says a project's files are. They are on no host: the server has them. */
const workingDir = (project: string): string => `/muster/stacks/${project}`;

/** The labels of one container. `imageId`: of the image it is made from; `replaces`: the name of the container it is to take the place of. */
export function containerLabels(
	model: StackModel,
	service: StackService,
	its: { readonly number: number; readonly imageId: string; readonly replaces: string | null },
): Readonly<Record<string, string>> {
	return {
		...service.labels,
		[composeLabels.project]: model.project,
		[composeLabels.service]: service.name,
		[composeLabels.number]: String(its.number),
		[composeLabels.hash]: serviceHash(model, service),
		[composeLabels.oneOff]: "False",
		[composeLabels.version]: composeVersion,
		[composeLabels.workingDir]: workingDir(model.project),
		[composeLabels.configFiles]: `${workingDir(model.project)}/compose.yaml`,
		[composeLabels.dependsOn]: service.dependsOn.map((it) => `${it.service}:${it.condition}:${it.restart}`).join(","),
		[composeLabels.image]: its.imageId,
		...(its.replaces === null ? {} : { [composeLabels.replace]: its.replaces }),
	};
}

/** The labels of a network of the project's. */
export function networkLabels(model: StackModel, network: StackNetwork): Readonly<Record<string, string>> {
	return {
		...network.labels,
		[composeLabels.project]: model.project,
		[composeLabels.network]: network.key,
		[composeLabels.version]: composeVersion,
		[composeLabels.hash]: hashOf(network),
	};
}

/** The labels of a volume of the project's. */
export function volumeLabels(model: StackModel, volume: StackVolume): Readonly<Record<string, string>> {
	return {
		...volume.labels,
		[composeLabels.project]: model.project,
		[composeLabels.volume]: volume.key,
		[composeLabels.version]: composeVersion,
		[composeLabels.hash]: hashOf(volume),
	};
}

/**
 * What a service's containers must have been made from to stay. As with Compose, neither the number of containers, nor the order of starting,
 * nor when the image is fetched are part of it; the networks and volumes it uses are.
 */
export function serviceHash(model: StackModel, service: StackService): string {
	const { replicas: _, dependsOn: __, pull: ___, ...definition } = service;
	const keys = new Set(service.networks.map(({ key }) => key));
	const sources = new Set(service.mounts.flatMap(({ type, source }) => (type === "volume" && source !== null ? [source] : [])));
	return hashOf({
		definition,
		networks: model.networks.filter(({ key }) => keys.has(key)),
		volumes: model.volumes.filter(({ key }) => sources.has(key)),
	});
}

/** SHA-256 over the value as JSON with sorted keys, in hex: equal for equal values, whatever order they were written in. */
export function hashOf(value: unknown): string {
	return createHash("sha256")
		.update(JSON.stringify(sorted(value)))
		.digest("hex");
}

function sorted(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(sorted);
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(
		Object.entries(value)
			.sort(([left], [right]) => (left < right ? -1 : 1))
			.map(([key, of]) => [key, sorted(of)]),
	);
}
