/** A container's configuration, read so that another one can be made like it. Pure. */
import * as v from "valibot";

const endpointSchema = v.looseObject({
	Aliases: v.nullish(v.array(v.string())),
	IPAMConfig: v.nullish(v.looseObject({ IPv4Address: v.optional(v.string()), IPv6Address: v.optional(v.string()) })),
});
const mountSchema = v.looseObject({ Type: v.string(), Name: v.optional(v.string()), Destination: v.string(), RW: v.optional(v.boolean()) });

/** `docker container inspect`, as far as we look at it; the rest is handed on as it is. */
export const containerSchema = v.looseObject({
	Id: v.string(),
	Path: v.string(),
	/** The image's id; its name is in `Config`. */
	Image: v.string(),
	Config: v.looseObject({ Image: v.string(), Hostname: v.optional(v.string()) }),
	HostConfig: v.looseObject({
		AutoRemove: v.optional(v.boolean()),
		NetworkMode: v.optional(v.string()),
		Binds: v.nullish(v.array(v.string())),
		Mounts: v.nullish(v.array(v.looseObject({ Target: v.string() }))),
	}),
	Mounts: v.array(mountSchema),
	NetworkSettings: v.looseObject({ Networks: v.nullish(v.record(v.string(), v.nullable(endpointSchema))) }),
});
export type ContainerView = v.InferOutput<typeof containerSchema>;

/** What to ask of Docker for a container like another. */
export interface Recreation {
	/** The body of `POST /containers/create`. */
	readonly body: object;
	/** Networks to join after it was made, since older engines take one at a time: the arguments of `docker network connect`, without the container. */
	readonly networks: readonly (readonly string[])[];
}

/** The same container on another image: volumes (those without a name too), environment, restart policy, networks, labels, limits. */
export function recreation(view: ContainerView, image: string): Recreation {
	const { Hostname: hostname, ...config } = view.Config;
	// Docker gave it its own id for a name; the new one gets its own.
	const ownHostname = hostname !== undefined && hostname !== "" && !view.Id.startsWith(hostname) ? { Hostname: hostname } : {};
	const mode = view.HostConfig.NetworkMode ?? "default";
	const shared = mode === "host" || mode === "none" || mode.startsWith("container:");
	const networks = shared ? [] : Object.entries(view.NetworkSettings.Networks ?? {});
	const isFirst = (name: string) => name === (mode === "default" ? "bridge" : mode);
	const first = networks.filter(([name]) => isFirst(name)).map(([name, endpoint]) => [name, endpointOf(endpoint ?? {}, view.Id)]);
	return {
		body: {
			...config,
			...ownHostname,
			Image: image,
			HostConfig: { ...view.HostConfig, Binds: [...(view.HostConfig.Binds ?? []), ...unnamedVolumes(view)] },
			NetworkingConfig: { EndpointsConfig: Object.fromEntries(first) },
		},
		networks: networks.filter(([name]) => !isFirst(name)).map(([name, endpoint]) => [...connectFlags(endpoint ?? {}, view.Id), name]),
	};
}

/** The name that the new image takes over, and the one that the former gets; undefined when the container names its image by id or digest. */
export function imageNames(reference: string): { readonly current: string; readonly previous: string } | undefined {
	if (reference.includes("@") || /^(sha256:)?[0-9a-f]{12,64}$/.test(reference)) return undefined;
	const repository = reference.replace(/:[^:/]*$/, "");
	return { current: reference, previous: `${repository}:previous` };
}

/** Volumes that only the image asked for: without being named they would be made anew, and the worker's identity be lost. */
function unnamedVolumes({ Mounts, HostConfig }: ContainerView): readonly string[] {
	const named = new Set([
		...(HostConfig.Binds ?? []).map((bind) => bind.split(":")[1]),
		...(HostConfig.Mounts ?? []).map(({ Target }) => Target),
	]);
	return Mounts.filter(({ Type, Name, Destination }) => Type === "volume" && Name !== undefined && !named.has(Destination)).map(
		({ Name, Destination, RW }) => `${Name}:${Destination}${RW === false ? ":ro" : ""}`,
	);
}

/** An endpoint as it was asked for, without what Docker made of it. */
function endpointOf(endpoint: v.InferOutput<typeof endpointSchema>, id: string): object {
	const { IPAMConfig, Links, DriverOpts } = endpoint;
	return { IPAMConfig: IPAMConfig ?? null, Links: Links ?? null, DriverOpts: DriverOpts ?? null, Aliases: aliasesOf(endpoint, id) };
}

function aliasesOf({ Aliases }: v.InferOutput<typeof endpointSchema>, id: string): readonly string[] | null {
	const own = (Aliases ?? []).filter((alias) => !id.startsWith(alias));
	return own.length === 0 ? null : own;
}

function connectFlags(endpoint: v.InferOutput<typeof endpointSchema>, id: string): readonly string[] {
	const ip = endpoint.IPAMConfig?.IPv4Address ?? "";
	const ip6 = endpoint.IPAMConfig?.IPv6Address ?? "";
	return [
		...(aliasesOf(endpoint, id) ?? []).flatMap((alias) => ["--alias", alias]),
		...(ip !== "" ? ["--ip", ip] : []),
		...(ip6 !== "" ? ["--ip6", ip6] : []),
	];
}
