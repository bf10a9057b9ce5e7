import type { CallOptions, Engine } from "./engine.ts";
import { inspectContainer, listContainers } from "./containers.ts";
import { findImage } from "./images.ts";
import { listNetworks, type Network } from "./networks.ts";
import { absent } from "./stack-absent.ts";
import { composeLabels } from "./stack-labels.ts";
import type { StackModel } from "./stack-model.ts";
import type { Seen, SeenContainer, SeenPart } from "./stack-plan.ts";
import { listVolumes, type Volume } from "./volumes.ts";

/** The project as the engine has it now, with the networks and volumes whose names the model uses, whoever they are of. */
export async function seeStack(engine: Engine, model: StackModel, options: CallOptions): Promise<Seen> {
	const { project } = model;
	const [containers, networks, volumes, images] = await Promise.all([
		seeContainers(engine, project, options),
		listNetworks(engine, undefined, options),
		listVolumes(engine, undefined, options),
		Promise.all(
			[...new Set(model.services.map(({ image }) => image))].map(
				async (image) => [image, (await findImage(engine, image, options))?.Id] as const,
			),
		),
	]);
	const named = new Set([...model.networks, ...model.volumes].map(({ name }) => name));
	const relevant = (part: SeenPart) => part.project === project || named.has(part.name);
	return {
		containers,
		networks: networks.map((it) => partOf(it, it.Id)).filter(relevant),
		volumes: volumes.map((it) => partOf(it, it.Name)).filter(relevant),
		images: Object.fromEntries(images.flatMap(([image, id]) => (id === undefined ? [] : [[image, id]]))),
	};
}

/** The containers that carry the project's label, by name. One that goes meanwhile is not among them. */
export async function seeContainers(engine: Engine, project: string, options: CallOptions): Promise<readonly SeenContainer[]> {
	const found = await listContainers(engine, { label: [`${composeLabels.project}=${project}`] }, options);
	const seen = await Promise.all(
		found.map(async (it): Promise<SeenContainer | undefined> => {
			const labels = it.Labels ?? {};
			const details = it.State === "exited" ? await inspectContainer(engine, it.Id, options).catch(absent) : null;
			if (details === undefined) return undefined;
			return {
				id: it.Id,
				name: (it.Names?.[0] ?? it.Id).replace(/^\//, ""),
				service: labels[composeLabels.service] ?? "",
				number: Number(labels[composeLabels.number] ?? 0) || 0,
				hash: labels[composeLabels.hash] ?? null,
				imageId: it.ImageID,
				oneOff: labels[composeLabels.oneOff] === "True",
				state: it.State,
				exitCode: details?.State.ExitCode ?? null,
				needs: (labels[composeLabels.dependsOn] ?? "").split(",").flatMap((on) => on.split(":").slice(0, 1)),
			};
		}),
	);
	return seen.filter((it) => it !== undefined).sort((left, right) => (left.name < right.name ? -1 : 1));
}

function partOf(part: Network | Volume, id: string): SeenPart {
	const labels = part.Labels ?? {};
	return { id, name: part.Name, project: labels[composeLabels.project] ?? null, hash: labels[composeLabels.hash] ?? null };
}
