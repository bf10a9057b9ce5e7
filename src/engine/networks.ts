import * as v from "valibot";
import { act, ask, type CallOptions, type Engine, filtersOf, post, validate } from "./engine.ts";

const networkSchema = v.looseObject({
	Id: v.string(),
	Name: v.string(),
	Driver: v.optional(v.string(), ""),
	Labels: v.optional(v.nullable(v.record(v.string(), v.string()))),
});
/** A network of the engine's. */
export type Network = v.InferOutput<typeof networkSchema>;

/** The networks that pass the filters (`{ label: ["key=value"] }`). */
export function listNetworks(
	engine: Engine,
	filters?: Readonly<Record<string, readonly string[]>>,
	options?: CallOptions,
): Promise<readonly Network[]> {
	return ask(engine, v.array(networkSchema), { path: "/networks", query: filtersOf(filters) }, options);
}

/** A network by name or id. Rejects with `not_found`. */
export function inspectNetwork(engine: Engine, network: string, options?: CallOptions): Promise<Network> {
	return ask(engine, networkSchema, { path: `/networks/${encodeURIComponent(network)}` }, options);
}

/** Makes a network as Docker's `POST /networks/create` takes it, and returns its id. A name in use rejects with `conflict`. */
export async function createNetwork(engine: Engine, spec: Readonly<Record<string, unknown>>, options?: CallOptions): Promise<string> {
	const { text } = await act(engine, post("/networks/create", { CheckDuplicate: true, ...spec }, options));
	return validate(v.object({ Id: v.string() }), text, "/networks/create").Id;
}

/** Removes a network. Rejects with `not_found`, or Docker's error while containers are on it. */
export async function removeNetwork(engine: Engine, network: string, options?: CallOptions): Promise<void> {
	await act(engine, { ...options, method: "DELETE", path: `/networks/${encodeURIComponent(network)}` });
}

/** Puts a container on a network. `endpoint`: as Docker's EndpointConfig. */
export async function connectNetwork(
	engine: Engine,
	network: string,
	container: string,
	endpoint: Readonly<Record<string, unknown>> = {},
	options?: CallOptions,
): Promise<void> {
	const body = { Container: container, EndpointConfig: endpoint };
	await act(engine, post(`/networks/${encodeURIComponent(network)}/connect`, body, options));
}
