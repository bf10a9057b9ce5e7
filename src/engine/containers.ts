import * as v from "valibot";
import { EngineError } from "./error.ts";
import { act, ask, type CallOptions, type Engine, filtersOf, post, validate } from "./engine.ts";

const labels = v.optional(v.nullable(v.record(v.string(), v.string())));
const summarySchema = v.looseObject({
	Id: v.string(),
	Names: v.optional(v.nullable(v.array(v.string()))),
	Image: v.string(),
	ImageID: v.string(),
	/** Seconds since the epoch. */
	Created: v.number(),
	State: v.string(),
	Status: v.string(),
	Labels: labels,
	Ports: v.optional(
		v.nullable(
			v.array(
				v.object({
					IP: v.optional(v.string()),
					PrivatePort: v.number(),
					PublicPort: v.optional(v.number()),
					Type: v.optional(v.string(), "tcp"),
				}),
			),
		),
	),
});
/** A container in Docker's list. */
export type ContainerSummary = v.InferOutput<typeof summarySchema>;

const detailsSchema = v.looseObject({
	Id: v.string(),
	Name: v.string(),
	Created: v.string(),
	Image: v.string(),
	RestartCount: v.optional(v.number(), 0),
	State: v.looseObject({
		Status: v.string(),
		Running: v.boolean(),
		Paused: v.optional(v.boolean(), false),
		Restarting: v.optional(v.boolean(), false),
		ExitCode: v.number(),
		Error: v.optional(v.string(), ""),
		StartedAt: v.string(),
		FinishedAt: v.string(),
		Health: v.optional(v.nullable(v.looseObject({ Status: v.string() }))),
	}),
	Config: v.looseObject({
		Tty: v.optional(v.boolean(), false),
		Image: v.optional(v.string(), ""),
		Labels: labels,
		/** Seconds; below zero: forever. */
		StopTimeout: v.optional(v.nullable(v.number())),
	}),
	NetworkSettings: v.optional(v.nullable(v.looseObject({ Networks: v.optional(v.nullable(v.record(v.string(), v.unknown()))) }))),
});
/** A container as inspected; what is not named here is kept as Docker says it. */
export type ContainerDetails = v.InferOutput<typeof detailsSchema>;

/** Docker's own. */
const graceSecondsDefault = 10;
const graceSecondsMax = 3_600;

const createdSchema = v.object({ Id: v.string(), Warnings: v.optional(v.nullable(v.array(v.string()))) });

/** A container's path from what people or the server call it. Throws `EngineError` `bad_request` for what Docker's paths cannot hold. */
export function containerPath(container: string): string {
	if (container === "" || container === "." || container === "..") {
		throw new EngineError("bad_request", `Cannot name a container ${JSON.stringify(container)}: give its name or id`);
	}
	return `/containers/${encodeURIComponent(container)}`;
}

/** All containers, running or not, that pass the filters (`{ label: ["key=value"] }`). */
export function listContainers(
	engine: Engine,
	filters?: Readonly<Record<string, readonly string[]>>,
	options?: CallOptions,
): Promise<readonly ContainerSummary[]> {
	return ask(engine, v.array(summarySchema), { path: "/containers/json", query: { all: "true", ...filtersOf(filters) } }, options);
}

/** A container by name or id. Rejects with `not_found`. */
export function inspectContainer(engine: Engine, container: string, options?: CallOptions): Promise<ContainerDetails> {
	return ask(engine, detailsSchema, { path: `${containerPath(container)}/json` }, options);
}

/** Makes a container and returns its id. Rejects with `not_found` when the image is not there, `conflict` when the name is in use. */
export async function createContainer(
	engine: Engine,
	name: string | null,
	/** As Docker's `POST /containers/create` takes it. */
	spec: Readonly<Record<string, unknown>>,
	options?: CallOptions,
): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
	const query = name === null ? {} : { name };
	const { text } = await act(engine, post("/containers/create", spec, { ...options, query }));
	const { Id, Warnings } = validate(createdSchema, text, "/containers/create");
	return { id: Id, warnings: Warnings ?? [] };
}

/** Starts a container; false when it ran already. */
export function startContainer(engine: Engine, container: string, options?: CallOptions): Promise<boolean> {
	return change(engine, container, "start", undefined, options);
}

/** Stops a container: SIGTERM, and SIGKILL after so many seconds (null: what the container says, else ten). False when it was not running. */
export function stopContainer(engine: Engine, container: string, timeoutSeconds: number | null, options?: CallOptions): Promise<boolean> {
	return change(engine, container, "stop", timeoutSeconds, options);
}

/** Stops, as `stopContainer` does, and starts again. */
export function restartContainer(
	engine: Engine,
	container: string,
	timeoutSeconds: number | null,
	options?: CallOptions,
): Promise<boolean> {
	return change(engine, container, "restart", timeoutSeconds, options);
}

/** Removes a container, with `force` a running one, with `volumes` its unnamed volumes too. Rejects with `not_found` or `conflict`. */
export async function removeContainer(
	engine: Engine,
	container: string,
	how: { readonly force: boolean; readonly volumes: boolean },
	options?: CallOptions,
): Promise<void> {
	const query = { force: String(how.force), v: String(how.volumes) };
	await act(engine, { ...options, method: "DELETE", path: containerPath(container), query });
}

/** What a container says of how long its end may take; one that says forever has an hour. */
async function ownGrace(engine: Engine, container: string, options: CallOptions | undefined): Promise<number> {
	const { StopTimeout } = (await inspectContainer(engine, container, options)).Config;
	const seconds = StopTimeout ?? graceSecondsDefault;
	return seconds < 0 ? graceSecondsMax : Math.min(seconds, graceSecondsMax);
}

async function change(
	engine: Engine,
	container: string,
	verb: "start" | "stop" | "restart",
	timeoutSeconds: number | null | undefined,
	options: CallOptions | undefined,
): Promise<boolean> {
	const query = timeoutSeconds === null || timeoutSeconds === undefined ? {} : { t: String(timeoutSeconds) };
	const graceSeconds = verb === "start" ? 0 : (timeoutSeconds ?? (await ownGrace(engine, container, options)));
	const { status } = await act(engine, { ...options, method: "POST", path: `${containerPath(container)}/${verb}`, query }, graceSeconds);
	return status !== 304;
}
