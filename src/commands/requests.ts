import * as v from "valibot";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { parseInput } from "../input.ts";
import { plainText } from "../lib/plain-text.ts";
import { ask } from "./actions.ts";
import { type CommandRecord, deadlineMsMax } from "./command.ts";
import { containerSpec, protocols, restartPolicies } from "./container-spec.ts";

const line = v.pipe(v.string(), v.regex(plainText, "must not hold control characters"));
const reference = v.pipe(line, v.minLength(1, "must not be empty"), v.maxLength(255, "must have at most 255 characters"));
const optional = <const T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema), null);
const flag = v.pipe(
	v.optional(v.nullable(v.boolean()), null),
	v.transform((value) => value ?? false),
);
const between = (least: number, most: number) =>
	v.pipe(
		v.number(),
		v.integer("must be a whole number"),
		v.minValue(least, `must be ${least} or more`),
		v.maxValue(most, `must be at most ${most}`),
	);
const common = { hostId: v.string(), deadlineSeconds: optional(between(1, deadlineMsMax / 1_000)) };
const onContainer = { ...common, container: reference };
const timeoutSeconds = optional(between(0, 3_600));
const port = between(1, 65_535);
const pairs = (key: v.GenericSchema<string, string>) =>
	v.optional(v.nullable(v.pipe(v.array(v.object({ key, value: v.string() })), v.maxLength(256, "must have at most 256 entries"))), []);
const listed = <const T extends v.GenericSchema>(schema: T) =>
	v.pipe(
		v.optional(v.nullable(v.pipe(v.array(schema), v.maxLength(256, "must have at most 256 entries"))), []),
		v.transform((list) => list ?? []),
	);
const words = v.pipe(v.array(v.string()), v.minLength(1, "must have a word"), v.maxLength(256, "must have at most 256 words"));
const envName = v.pipe(v.string(), v.regex(/^[^=\p{Cc}\p{Cs}]+$/u, "must be a name without ="));

const schemas = {
	logs: v.object({
		...onContainer,
		follow: flag,
		tail: optional(between(0, 1_000_000)),
		since: optional(v.pipe(v.string(), v.isoTimestamp("must be RFC 3339 text"))),
		timestamps: flag,
	}),
	exec: v.object({
		...onContainer,
		command: words,
		env: pairs(envName),
		workingDir: optional(reference),
		user: optional(reference),
		tty: flag,
		stdin: flag,
	}),
	create: v.object({
		...common,
		image: reference,
		name: optional(v.pipe(v.string(), v.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/, "must be letters, digits, _ . - (128 at most)"))),
		command: optional(words),
		env: pairs(envName),
		labels: pairs(reference),
		ports: listed(
			v.object({
				container: port,
				host: optional(port),
				protocol: v.optional(v.nullable(v.picklist(protocols)), "TCP"),
				address: optional(v.pipe(v.string(), v.ip("must be an IP address"))),
			}),
		),
		volumes: listed(v.object({ source: reference, target: v.pipe(reference, v.startsWith("/", "must be absolute")), readOnly: flag })),
		restartPolicy: v.optional(v.nullable(v.picklist(restartPolicies)), "NO"),
		network: optional(reference),
		start: v.optional(v.nullable(v.boolean()), true),
	}),
	container: v.object(onContainer),
	stop: v.object({ ...onContainer, timeoutSeconds }),
	remove: v.object({ ...onContainer, force: flag, volumes: flag }),
	pull: v.object({ ...common, image: reference }),
};

/** A container's logs, as output of the command. */
export function containerLogs(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const { hostId, deadlineSeconds, ...params } = parseInput("read the container's logs", schemas.logs, raw);
	return ask(deps, operator, hostId, "container.logs", params, deadlineSeconds);
}

/** A program in a running container; its output is the command's, its exit code the result. */
export function execContainer(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const { hostId, deadlineSeconds, env, ...params } = parseInput("run a program in the container", schemas.exec, raw);
	const lines = (env ?? []).map(({ key, value }) => `${key}=${value}`);
	return ask(deps, operator, hostId, "container.exec", { ...params, env: lines }, deadlineSeconds);
}

/** A new container from a description in our words. */
export function createContainer(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const input = parseInput("create the container", schemas.create, raw);
	const { hostId, deadlineSeconds, image, name, start, env, labels, ports, volumes, command, network, restartPolicy } = input;
	const spec = containerSpec({
		command,
		env: env ?? [],
		labels: labels ?? [],
		ports: ports.map(({ protocol, ...rest }) => ({ ...rest, protocol: protocol ?? "TCP" })),
		volumes,
		restartPolicy: restartPolicy ?? "NO",
		network,
	});
	return ask(deps, operator, hostId, "container.create", { image, name, spec, start: start ?? true }, deadlineSeconds);
}

/** Docker's whole description of a container, as the command's result; or its start. */
export function onContainerOf(kind: "container.inspect" | "container.start") {
	return (deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> => {
		const { hostId, deadlineSeconds, container } = parseInput(`ask for ${kind}`, schemas.container, raw);
		return ask(deps, operator, hostId, kind, { container }, deadlineSeconds);
	};
}

/** The end of a container, or its end and new start; killed when it takes longer than `timeoutSeconds`. */
export function stopOrRestart(kind: "container.stop" | "container.restart") {
	return (deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> => {
		const { hostId, deadlineSeconds, ...params } = parseInput(`ask for ${kind}`, schemas.stop, raw);
		return ask(deps, operator, hostId, kind, params, deadlineSeconds);
	};
}

/** Removes a container; a running one only with `force`. */
export function removeContainer(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const { hostId, deadlineSeconds, ...params } = parseInput("remove the container", schemas.remove, raw);
	return ask(deps, operator, hostId, "container.remove", params, deadlineSeconds);
}

/** Fetches an image to the host. */
export function pullImage(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const { hostId, deadlineSeconds, image } = parseInput("pull the image", schemas.pull, raw);
	return ask(deps, operator, hostId, "image.pull", { image }, deadlineSeconds);
}
