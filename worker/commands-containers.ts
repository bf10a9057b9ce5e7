import * as v from "valibot";
import {
	createContainer,
	inspectContainer,
	removeContainer,
	restartContainer,
	startContainer,
	stopContainer,
} from "../src/engine/containers.ts";
import { inspectImage, pullImage } from "../src/engine/images.ts";
import { CommandFault, commandLabel, type Doer } from "./commands-kind.ts";

const labelsSchema = v.optional(v.nullable(v.record(v.string(), v.string())), {});

/** Everything Docker says of a container. */
export const doInspect: Doer<"container.inspect"> = ({ engine, signal }, { container }) => inspectContainer(engine, container, { signal });

/**
 * Makes a container, and starts it when asked to: both or nothing, so a container that cannot be started is removed again. It carries
 * the command's id, by which a worker that comes after a crash knows that it was made.
 */
export const doCreate: Doer<"container.create"> = async ({ engine, commandId }, { name, image, spec, start }) => {
	const labels = v.safeParse(labelsSchema, spec.Labels);
	if (!labels.success) throw new CommandFault("bad_request", "Cannot create the container: Labels is no map of texts");
	const body = { ...spec, Image: image, Labels: { ...labels.output, [commandLabel]: commandId } };
	const { id, warnings } = await createContainer(engine, name, body);
	if (start) {
		try {
			await startContainer(engine, id);
		} catch (error) {
			await removeContainer(engine, id, { force: true, volumes: true }).catch(() => {});
			throw error;
		}
	}
	return { containerId: id, warnings };
};

/** Starts; nothing happens when it runs. */
export const doStart: Doer<"container.start"> = async ({ engine, target }) => {
	await startContainer(engine, target);
	return { containerId: target };
};

/** Stops; nothing happens when it does not run. */
export const doStop: Doer<"container.stop"> = async ({ engine, target }, { timeoutSeconds }) => {
	await stopContainer(engine, target, timeoutSeconds);
	return { containerId: target };
};

/** Stops and starts. */
export const doRestart: Doer<"container.restart"> = async ({ engine, target }, { timeoutSeconds }) => {
	await restartContainer(engine, target, timeoutSeconds);
	return { containerId: target };
};

/** Removes. */
export const doRemove: Doer<"container.remove"> = async ({ engine, target }, { force, volumes }) => {
	await removeContainer(engine, target, { force, volumes });
	return { containerId: target };
};

/** Fetches an image; its output is a line for each step, without the count of bytes, which comes ten times a second. */
export const doPull: Doer<"image.pull"> = async ({ engine, output, signal }, { image }) => {
	for await (const { id, status, progress } of pullImage(engine, image, { signal })) {
		if (status === undefined || progress !== undefined) continue;
		await output.write({ stream: "STDOUT", data: Buffer.from(`${id === undefined ? "" : `${id}: `}${status}\n`) });
	}
	return { imageId: (await inspectImage(engine, image, { signal })).Id };
};
