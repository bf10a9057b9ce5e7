import { MusterError } from "../errors.ts";

export const restartPolicies = ["NO", "ON_FAILURE", "UNLESS_STOPPED", "ALWAYS"] as const;
export type RestartPolicy = (typeof restartPolicies)[number];
export const protocols = ["TCP", "UDP"] as const;

/** A port of a container, and where the host offers it; no host port: any free one. */
export interface PublishedPort {
	readonly container: number;
	readonly host: number | null;
	readonly protocol: (typeof protocols)[number];
	/** The host's address; null: all of them. */
	readonly address: string | null;
}

/** A named volume or a path of the host, and where the container sees it. */
export interface Mount {
	readonly source: string;
	readonly target: string;
	readonly readOnly: boolean;
}

/** A container as an admin describes it. */
export interface ContainerWish {
	readonly command: readonly string[] | null;
	readonly env: readonly { readonly key: string; readonly value: string }[];
	readonly labels: readonly { readonly key: string; readonly value: string }[];
	readonly ports: readonly PublishedPort[];
	readonly volumes: readonly Mount[];
	readonly restartPolicy: RestartPolicy;
	/** Null: Docker's default. */
	readonly network: string | null;
}

/** The wish in Docker's words: the body of `POST /containers/create`, less the image, which stands beside it. Pure. BAD_USER_INPUT for a mount of no kind. */
export function containerSpec(wish: ContainerWish): Record<string, unknown> {
	const exposed = wish.ports.map((port) => [portName(port), {}] as const);
	const bindings = Map.groupBy(wish.ports, portName);
	return {
		...(wish.command === null ? {} : { Cmd: wish.command }),
		Env: wish.env.map(({ key, value }) => `${key}=${value}`),
		Labels: Object.fromEntries(wish.labels.map(({ key, value }) => [key, value])),
		ExposedPorts: Object.fromEntries(exposed),
		HostConfig: {
			PortBindings: Object.fromEntries([...bindings].map(([name, ports]) => [name, ports.map(bindingOf)])),
			Mounts: wish.volumes.map(mountOf),
			RestartPolicy: { Name: policyNames[wish.restartPolicy] },
			...(wish.network === null ? {} : { NetworkMode: wish.network }),
		},
	};
}

const policyNames = {
	NO: "no",
	ON_FAILURE: "on-failure",
	UNLESS_STOPPED: "unless-stopped",
	ALWAYS: "always",
} as const satisfies Record<RestartPolicy, string>;

function portName({ container, protocol }: PublishedPort): string {
	return `${container}/${protocol.toLowerCase()}`;
}

function bindingOf({ host, address }: PublishedPort) {
	return { ...(address === null ? {} : { HostIp: address }), HostPort: host === null ? "" : String(host) };
}

function mountOf({ source, target, readOnly }: Mount) {
	const isPath = source.startsWith("/") || /^[A-Za-z]:[\\/]/.test(source);
	if (!isPath && !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(source)) {
		throw new MusterError("BAD_USER_INPUT", `Cannot mount "${source}": give an absolute path of the host, or a volume's name`, {
			fields: ["volumes"],
		});
	}
	return { Type: isPath ? "bind" : "volume", Source: source, Target: target, ReadOnly: readOnly };
}
