import { containerLabels, networkLabels, volumeLabels } from "./stack-labels.ts";
import type { StackModel, StackMount, StackNetwork, StackService, StackVolume } from "./stack-model.ts";
import { containerName } from "./stack-plan.ts";

type Json = Readonly<Record<string, unknown>>;

/** An unnamed volume of the container that is replaced, to be the new one's. */
export interface InheritedVolume {
	readonly name: string;
	readonly target: string;
}

/** A container as `POST /containers/create` takes it. Only the first network is in it: engines before 25 take no more at once. */
export function containerSpec(
	model: StackModel,
	service: StackService,
	its: {
		readonly number: number;
		readonly imageId: string;
		readonly replaces: string | null;
		readonly inherited: readonly InheritedVolume[];
	},
): Json {
	const [first] = endpointsOf(model, service, its.number);
	const ports = service.ports.map((it) => ({ ...it, key: `${it.target}/${it.protocol}` }));
	return {
		Image: service.image,
		...given("Cmd", service.command),
		...given("Entrypoint", service.entrypoint),
		Env: Object.entries(service.environment).map(([key, value]) => `${key}=${value}`),
		Labels: containerLabels(model, service, its),
		ExposedPorts: Object.fromEntries([...service.expose, ...ports.map(({ key }) => key)].map((key) => [key, {}])),
		...given("User", service.user),
		...given("WorkingDir", service.workingDir),
		...given("Hostname", service.hostname),
		...given("StopSignal", service.stopSignal),
		...given("StopTimeout", service.stopGraceSeconds),
		...(service.healthcheck === null ? {} : { Healthcheck: healthOf(service.healthcheck) }),
		Tty: service.tty,
		OpenStdin: service.stdinOpen,
		HostConfig: {
			PortBindings: Object.fromEntries(
				[...Map.groupBy(ports, ({ key }) => key)].map(([key, of]) => [
					key,
					of.map(({ hostIp, published }) => ({ HostIp: hostIp, HostPort: published ?? "" })),
				]),
			),
			Binds: service.mounts.filter(isBindString).map(({ source, target, readOnly }) => `${source}:${target}:${readOnly ? "ro" : "rw"}`),
			Mounts: [
				...service.mounts.filter((mount) => !isBindString(mount)).map((mount) => mountOf(model, mount, its.inherited)),
				// What the image declares a volume, without the file naming it.
				...its.inherited
					.filter(({ target }) => !service.mounts.some((mount) => mount.target === target))
					.map(({ name, target }) => ({ Type: "volume", Source: name, Target: target })),
			],
			Tmpfs: service.tmpfs,
			RestartPolicy: { Name: service.restart.name, MaximumRetryCount: service.restart.retries },
			NetworkMode: service.networkMode ?? first?.network ?? "none",
			ExtraHosts: service.extraHosts,
			ReadonlyRootfs: service.readOnly,
			Privileged: service.privileged,
			CapAdd: service.capAdd,
			CapDrop: service.capDrop,
			...given("Init", service.init),
		},
		...(first === undefined ? {} : { NetworkingConfig: { EndpointsConfig: { [first.network]: first.endpoint } } }),
	};
}

/** The networks that one container of the service is on, by the engine's names, as Docker's endpoints. The first is its own at creation. */
export function endpointsOf(
	model: StackModel,
	service: StackService,
	number: number,
): readonly { readonly network: string; readonly endpoint: Json }[] {
	return service.networks.map(({ key, aliases, ipv4Address }) => ({
		network: model.networks.find((network) => network.key === key)?.name ?? key,
		endpoint: {
			Aliases: [...new Set([containerName(model, service, number), service.name, ...aliases])],
			...(ipv4Address === null ? {} : { IPAMConfig: { IPv4Address: ipv4Address } }),
		},
	}));
}

/** A network as `POST /networks/create` takes it. */
export function networkSpec(model: StackModel, network: StackNetwork): Json {
	const ranges = network.subnets.map(({ subnet, gateway, ipRange }) => ({
		...given("Subnet", subnet),
		...given("Gateway", gateway),
		...given("IPRange", ipRange),
	}));
	return {
		Name: network.name,
		...given("Driver", network.driver),
		Options: network.driverOptions,
		Internal: network.internal,
		Attachable: network.attachable,
		EnableIPv6: network.enableIpv6,
		...(ranges.length === 0 ? {} : { IPAM: { Config: ranges } }),
		Labels: networkLabels(model, network),
	};
}

/** A volume as `POST /volumes/create` takes it. */
export function volumeSpec(model: StackModel, volume: StackVolume): Json {
	return {
		Name: volume.name,
		...given("Driver", volume.driver),
		DriverOpts: volume.driverOptions,
		Labels: volumeLabels(model, volume),
	};
}

function given(key: string, value: unknown): Json {
	return value === null ? {} : { [key]: value };
}

function healthOf({ test, interval, timeout, startPeriod, retries }: NonNullable<StackService["healthcheck"]>): Json {
	return { ...(test.length === 0 ? {} : { Test: test }), Interval: interval, Timeout: timeout, StartPeriod: startPeriod, Retries: retries };
}

/** Only as a bind string does Docker 20.10 make the host's path. */
const isBindString = ({ type, createHostPath }: StackMount): boolean => type === "bind" && createHostPath;

function mountOf(model: StackModel, mount: StackMount, inherited: readonly InheritedVolume[]): Json {
	const common = { Type: mount.type, Target: mount.target, ReadOnly: mount.readOnly };
	if (mount.type === "bind") return { ...common, Source: mount.source };
	if (mount.type === "tmpfs") return mount.tmpfsBytes === 0 ? common : { ...common, TmpfsOptions: { SizeBytes: mount.tmpfsBytes } };
	const name =
		mount.source === null
			? inherited.find(({ target }) => target === mount.target)?.name
			: (model.volumes.find(({ key }) => key === mount.source)?.name ?? mount.source);
	return { ...common, ...(name === undefined ? {} : { Source: name }), VolumeOptions: { NoCopy: mount.noCopy } };
}
