import * as v from "valibot";

const text = v.string();
const name = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/), v.maxLength(255));
const texts = v.array(text);
const pairs = v.record(text, text);
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** A project's name, as Compose has it: lower-case letters, digits, `-` and `_`, beginning with a letter or digit. */
export const projectName = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9_-]{0,62}$/));

/** Most containers of one service: as many as a command may ask for. */
export const replicasMax = 100;

const health = v.strictObject({
	/** As Docker has it: `["CMD", …]`, `["CMD-SHELL", …]` or `["NONE"]`; empty: the image's. */
	test: texts,
	/** Nanoseconds; 0: Docker's default. */
	interval: count,
	timeout: count,
	startPeriod: count,
	retries: count,
});

/** What has to be true of a service before one that needs it begins. */
export const conditions = ["service_started", "service_healthy", "service_completed_successfully"] as const;

const service = v.strictObject({
	name,
	image: v.pipe(text, v.nonEmpty()),
	/** When the image is fetched. `missing`: when it is not there. */
	pull: v.picklist(["missing", "always", "never"]),
	replicas: v.pipe(count, v.maxValue(replicasMax)),
	/** A name of its own in place of `<project>-<service>-<n>`. */
	containerName: v.nullable(name),
	/** Null: the image's. */
	command: v.nullable(texts),
	entrypoint: v.nullable(texts),
	environment: pairs,
	ports: v.array(
		v.strictObject({
			target: port,
			/** A port or a range; null: one that Docker chooses. */
			published: v.nullable(text),
			hostIp: text,
			protocol: v.picklist(["tcp", "udp", "sctp"]),
		}),
	),
	/** `80/tcp`. */
	expose: texts,
	mounts: v.array(
		v.strictObject({
			type: v.picklist(["volume", "bind", "tmpfs"]),
			/** A volume's key in `volumes`, null when it has no name; a path of the host's; null of a tmpfs. */
			source: v.nullable(text),
			target: text,
			readOnly: v.boolean(),
			/** Of a volume: not filled from the image. */
			noCopy: v.boolean(),
			/** Of a bind: whether Docker makes the path when it is not there. */
			createHostPath: v.boolean(),
			/** Of a tmpfs, in bytes; 0: no limit. */
			tmpfsBytes: count,
		}),
	),
	/** Empty when `networkMode` is given. */
	networks: v.array(v.strictObject({ key: text, aliases: texts, ipv4Address: v.nullable(text) })),
	networkMode: v.nullable(v.picklist(["host", "none", "bridge"])),
	restart: v.strictObject({ name: v.picklist(["no", "always", "on-failure", "unless-stopped"]), retries: count }),
	dependsOn: v.array(v.strictObject({ service: name, condition: v.picklist(conditions), required: v.boolean(), restart: v.boolean() })),
	healthcheck: v.nullable(health),
	labels: pairs,
	user: v.nullable(text),
	workingDir: v.nullable(text),
	hostname: v.nullable(text),
	/** `name:address`. */
	extraHosts: texts,
	stopSignal: v.nullable(text),
	/** Null: Docker's ten. */
	stopGraceSeconds: v.nullable(count),
	readOnly: v.boolean(),
	privileged: v.boolean(),
	init: v.nullable(v.boolean()),
	tty: v.boolean(),
	stdinOpen: v.boolean(),
	capAdd: texts,
	capDrop: texts,
	/** Path → mount options. */
	tmpfs: pairs,
});

const network = v.strictObject({
	key: text,
	/** What the engine calls it. */
	name: text,
	/** It must be there already; it is neither made nor removed. */
	external: v.boolean(),
	driver: v.nullable(text),
	driverOptions: pairs,
	internal: v.boolean(),
	attachable: v.boolean(),
	enableIpv6: v.boolean(),
	subnets: v.array(v.strictObject({ subnet: v.nullable(text), gateway: v.nullable(text), ipRange: v.nullable(text) })),
	labels: pairs,
});

const volume = v.strictObject({
	key: text,
	name: text,
	external: v.boolean(),
	driver: v.nullable(text),
	driverOptions: pairs,
	labels: pairs,
});

/**
 * A stack as it shall be on a host: what a compose file comes to, with nothing left open. The server makes it, the one who has the engine
 * carries it out. A worker that gets one with fields it does not know refuses it.
 */
export const stackModel = v.strictObject({
	project: projectName,
	services: v.pipe(v.array(service), v.minLength(1)),
	networks: v.array(network),
	volumes: v.array(volume),
});

export type StackModel = v.InferOutput<typeof stackModel>;
export type StackService = v.InferOutput<typeof service>;
export type StackNetwork = v.InferOutput<typeof network>;
export type StackVolume = v.InferOutput<typeof volume>;
export type StackMount = StackService["mounts"][number];
export type Condition = (typeof conditions)[number];
