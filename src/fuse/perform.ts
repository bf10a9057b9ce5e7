import * as v from "valibot";
import {
	createContainer,
	inspectContainer,
	listContainers,
	removeContainer,
	restartContainer,
	startContainer,
	stopContainer,
} from "../engine/containers.ts";
import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/error.ts";
import { inspectImage, pullImage } from "../engine/images.ts";
import { runStackCommand } from "../engine/stack-command.ts";
import { type CommandKind, commandParams } from "../protocol/commands.ts";

/** A command as a server does it. */
export interface Performance {
	readonly commandId: string;
	readonly kind: CommandKind;
	readonly params: unknown;
	/** It was begun before, and nobody knows how far it came. */
	readonly again: boolean;
	readonly signal: AbortSignal;
	/** Gets each line of output. */
	readonly say: (line: string) => void;
}

/** The label by which whoever comes later knows that a command's container was made; the worker's is the same. */
const commandLabel = "io.muster.command";
const labelsSchema = v.optional(v.nullable(v.record(v.string(), v.string())), {});

/**
 * Does a changing command on an engine, as the worker does it on its own (H12). May be repeated: what was done is found by its label or its state,
 * but a restart may come twice. Rejects with `EngineError`, or the signal's reason.
 */
export async function perform(engine: Engine, { commandId, kind, params, again, signal, say }: Performance): Promise<unknown> {
	const options = { signal };
	switch (kind) {
		case "container.create":
			return create(engine, commandId, params, again, signal);
		case "container.start": {
			const { container } = v.parse(commandParams[kind], params);
			const { Id } = await inspectContainer(engine, container, options);
			await startContainer(engine, Id, options);
			return { containerId: Id };
		}
		case "container.stop": {
			const { container, timeoutSeconds } = v.parse(commandParams[kind], params);
			const { Id } = await inspectContainer(engine, container, options);
			await stopContainer(engine, Id, timeoutSeconds, options);
			return { containerId: Id };
		}
		case "container.restart": {
			const { container, timeoutSeconds } = v.parse(commandParams[kind], params);
			const { Id } = await inspectContainer(engine, container, options);
			await restartContainer(engine, Id, timeoutSeconds, options);
			return { containerId: Id };
		}
		case "container.remove": {
			const { container, ...how } = v.parse(commandParams[kind], params);
			try {
				const { Id } = await inspectContainer(engine, container, options);
				await removeContainer(engine, Id, how, options);
				return { containerId: Id };
			} catch (error) {
				if (again && error instanceof EngineError && error.code === "not_found") return { containerId: container };
				throw error;
			}
		}
		case "image.pull": {
			const { image } = v.parse(commandParams[kind], params);
			for await (const { id, status, progress } of pullImage(engine, image, options)) {
				if (status !== undefined && progress === undefined) say(`${id === undefined ? "" : `${id}: `}${status}`);
			}
			return { imageId: (await inspectImage(engine, image, options)).Id };
		}
		case "stack.deploy":
			return runStackCommand(engine, { kind, params: v.parse(commandParams[kind], params) }, { signal, say });
		case "stack.scale":
			return runStackCommand(engine, { kind, params: v.parse(commandParams[kind], params) }, { signal, say });
		case "stack.remove":
			return runStackCommand(engine, { kind, params: v.parse(commandParams[kind], params) }, { signal, say });
		default:
			throw new EngineError("bad_request", `Cannot do ${kind} through Portainer: the worker does it`);
	}
}

/** Makes a container and starts it when asked to: both or nothing. */
async function create(engine: Engine, commandId: string, params: unknown, again: boolean, signal: AbortSignal): Promise<unknown> {
	const { name, image, spec, start } = v.parse(commandParams["container.create"], params);
	const options = { signal };
	const [made] = again ? await listContainers(engine, { label: [`${commandLabel}=${commandId}`] }, options) : [];
	if (made !== undefined) {
		if (start && made.State === "created") await startContainer(engine, made.Id, options);
		return { containerId: made.Id, warnings: [] };
	}
	const labels = v.safeParse(labelsSchema, spec.Labels);
	if (!labels.success) throw new EngineError("bad_request", "Cannot create the container: Labels is no map of texts");
	const body = { ...spec, Image: image, Labels: { ...labels.output, [commandLabel]: commandId } };
	const { id, warnings } = await createContainer(engine, name, body, options);
	if (start) {
		try {
			await startContainer(engine, id, options);
		} catch (error) {
			// Stopped half way it is found again by its label.
			if (!signal.aborted) await removeContainer(engine, id, { force: true, volumes: true }, options).catch(() => {});
			throw error;
		}
	}
	return { containerId: id, warnings };
}
