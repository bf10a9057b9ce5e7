import * as v from "valibot";
import { act, ask, type CallOptions, type Engine, filtersOf, progress } from "./engine.ts";
import { EngineError } from "./error.ts";
import { readJsonLines } from "./lines.ts";

const imageSchema = v.looseObject({
	Id: v.string(),
	RepoTags: v.optional(v.nullable(v.array(v.string()))),
	RepoDigests: v.optional(v.nullable(v.array(v.string()))),
});
/** An image on the engine's host. */
export type Image = v.InferOutput<typeof imageSchema>;

const progressSchema = v.looseObject({
	status: v.optional(v.string()),
	id: v.optional(v.string()),
	progress: v.optional(v.string()),
	error: v.optional(v.string()),
	errorDetail: v.optional(v.looseObject({ message: v.optional(v.string()) })),
});
/** A line of a pull's progress. */
export type PullProgress = v.InferOutput<typeof progressSchema>;

/** An image by name or id. Rejects with `not_found`. */
export function inspectImage(engine: Engine, image: string, options?: CallOptions): Promise<Image> {
	return ask(engine, imageSchema, { path: `/images/${encodeImage(image)}/json` }, options);
}

/** The same, undefined when there is none. */
export async function findImage(engine: Engine, image: string, options?: CallOptions): Promise<Image | undefined> {
	try {
		return await inspectImage(engine, image, options);
	} catch (error) {
		if (error instanceof EngineError && error.code === "not_found") return undefined;
		throw error;
	}
}

/** The images on the engine's host. */
export function listImages(
	engine: Engine,
	filters?: Readonly<Record<string, readonly string[]>>,
	options?: CallOptions,
): Promise<readonly Image[]> {
	return ask(engine, v.array(imageSchema), { path: "/images/json", query: filtersOf(filters) }, options);
}

/** Fetches an image from its registry; may be repeated. Docker's error inside the progress throws as `EngineError` `docker_error`, `not_found` when Docker says so at once. */
export async function* pullImage(engine: Engine, image: string, options?: CallOptions): AsyncGenerator<PullProgress> {
	const { name, tag } = splitImage(image);
	const body = progress(engine, {
		...options,
		method: "POST",
		path: "/images/create",
		query: { fromImage: name, ...(tag === undefined ? {} : { tag }) },
	});
	for await (const line of readJsonLines(body)) {
		const said = v.parse(v.fallback(progressSchema, {}), line);
		const error = said.errorDetail?.message ?? said.error;
		if (error !== undefined) throw new EngineError("docker_error", error);
		yield said;
	}
}

/** Makes an image of a tar archive of its files. */
export async function importImage(
	engine: Engine,
	archive: Uint8Array,
	as: { readonly name: string; readonly tag: string; readonly changes?: string },
	options?: CallOptions,
): Promise<void> {
	const query = { fromSrc: "-", repo: as.name, tag: as.tag, ...(as.changes === undefined ? {} : { changes: as.changes }) };
	const body = progress(engine, {
		...options,
		method: "POST",
		path: "/images/create",
		query,
		headers: { "content-type": "application/x-tar" },
		body: archive,
	});
	for await (const line of readJsonLines(body)) {
		const { error } = v.parse(v.fallback(progressSchema, {}), line);
		if (error !== undefined) throw new EngineError("docker_error", error);
	}
}

/** Takes an image's name away, and the image when that was its last. Rejects with `not_found`, `conflict` when a container uses it. */
export async function removeImage(engine: Engine, image: string, options?: CallOptions): Promise<void> {
	await act(engine, { ...options, method: "DELETE", path: `/images/${encodeImage(image)}` });
}

/** A reference's name and tag or digest; without either it is `latest`, since Docker would fetch all tags. */
export function splitImage(image: string): { readonly name: string; readonly tag: string | undefined } {
	if (image.includes("@")) return { name: image, tag: undefined };
	const [, name, tag] = /^(.+):([^:/]+)$/.exec(image) ?? [];
	return name === undefined ? { name: image, tag: "latest" } : { name, tag };
}

/** Slashes stay: Docker's router takes the whole rest of the path for the name. */
function encodeImage(image: string): string {
	if (image.split("/").some((part) => part === "" || part === "." || part === "..")) {
		throw new EngineError("bad_request", `Cannot name an image ${JSON.stringify(image)}: give a reference like nginx:1.27`);
	}
	return image.split("/").map(encodeURIComponent).join("/");
}
