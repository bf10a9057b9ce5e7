import * as v from "valibot";
import { act, ask, type CallOptions, type Engine, filtersOf, post, validate } from "./engine.ts";

const volumeSchema = v.looseObject({
	Name: v.string(),
	Driver: v.string(),
	Labels: v.optional(v.nullable(v.record(v.string(), v.string()))),
});
/** A volume of the engine's. */
export type Volume = v.InferOutput<typeof volumeSchema>;

/** The volumes that pass the filters (`{ label: ["key=value"] }`). */
export async function listVolumes(
	engine: Engine,
	filters?: Readonly<Record<string, readonly string[]>>,
	options?: CallOptions,
): Promise<readonly Volume[]> {
	const schema = v.object({ Volumes: v.nullable(v.array(volumeSchema)) });
	return (await ask(engine, schema, { path: "/volumes", query: filtersOf(filters) }, options)).Volumes ?? [];
}

/** A volume by name. Rejects with `not_found`. */
export function inspectVolume(engine: Engine, name: string, options?: CallOptions): Promise<Volume> {
	return ask(engine, volumeSchema, { path: `/volumes/${encodeURIComponent(name)}` }, options);
}

/** Makes a volume as Docker's `POST /volumes/create` takes it; one that is there with this name and driver is returned as it is. */
export async function createVolume(engine: Engine, spec: Readonly<Record<string, unknown>>, options?: CallOptions): Promise<Volume> {
	const { text } = await act(engine, post("/volumes/create", spec, options));
	return validate(volumeSchema, text, "/volumes/create");
}

/** Removes a volume and what it holds. Rejects with `not_found`, `conflict` while a container uses it. */
export async function removeVolume(engine: Engine, name: string, options?: CallOptions): Promise<void> {
	await act(engine, { ...options, method: "DELETE", path: `/volumes/${encodeURIComponent(name)}` });
}
