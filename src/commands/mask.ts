import type { CommandKind } from "../protocol/commands.ts";

/** What stands in place of a secret in audit, events and replies. */
export const maskedText = "[secret]";

/** Names whose values are environment variables. */
const environments = new Set(["env", "environment", "driveroptions"]);
/** Names whose values are secrets as a whole. */
const secret = /^(edgekey|password|passwd|secret|token|apikey|registryauth|content)$/i;

/** Parameters as people may see them: the values of environment variables, keys and passwords are masked, at any depth. Pure. */
export function masked(params: Readonly<Record<string, unknown>>): Record<string, unknown> {
	return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, maskedValue(name, value)]));
}

/** What a worker found, as it is kept: a container's environment often holds its passwords, so an inspection keeps the names alone. Pure. */
export function keptResult(kind: CommandKind, result: unknown): unknown {
	return kind === "container.inspect" && isRecord(result) ? masked(result) : result;
}

function maskedValue(name: string, value: unknown): unknown {
	if (environments.has(name.toLowerCase())) return maskedEnvironment(value);
	if (secret.test(name) && value !== null && value !== undefined) return maskedText;
	if (Array.isArray(value)) return value.map((item: unknown) => maskedValue("", item));
	return isRecord(value) ? masked(value) : value;
}

/** `NAME=value`, a map of values by name, or a list of `NAME=value` or of objects that say their name. */
function maskedEnvironment(value: unknown): unknown {
	if (typeof value === "string") return value.includes("=") ? `${value.slice(0, value.indexOf("="))}=${maskedText}` : value;
	if (Array.isArray(value))
		return value.map((item: unknown) => (isRecord(item) ? maskedValues(item, ["key", "name"]) : maskedEnvironment(item)));
	return isRecord(value) ? maskedValues(value, []) : value === null || value === undefined ? value : maskedText;
}

function maskedValues(record: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
	return Object.fromEntries(
		Object.entries(record).map(([name, inner]) => [name, names.includes(name) || inner === null ? inner : maskedText]),
	);
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null;
}
