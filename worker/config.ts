import type { LogFormat, LogLevel } from "../src/lib/log.ts";
import { plainText } from "../src/lib/plain-text.ts";
import { type Endpoint, parseEndpoint } from "./address.ts";
import { type MeshConfig, readMesh } from "./config-mesh.ts";
import { flagOf, keyOf, type SettingName, settings } from "./settings.ts";
import { readStrategy, type Strategy } from "./strategy.ts";
import type { Label, TomlFile } from "./toml.ts";
import { collectValues, type Found, type ReadFile } from "./values.ts";

export type { Label } from "./toml.ts";

/** The worker's configuration, every value checked. */
export interface Config extends Strategy {
	/** Where to enroll. */
	readonly url: Endpoint | undefined;
	/** Where to report; undefined: what the enroll reply says, else `url`. */
	readonly serverAddr: Endpoint | undefined;
	readonly name: string | undefined;
	readonly labels: readonly Label[];
	/** Undefined: the default (worker/state-dir.ts). */
	readonly stateDir: string | undefined;
	readonly machineIdFile: string | undefined;
	readonly mesh: MeshConfig;
	/** Where the worker's own metrics are served; undefined: nowhere. */
	readonly metricsPort: number | undefined;
	/** Where Docker listens: a socket's path, or `off`; undefined: DOCKER_HOST, else the usual place (worker/docker-address.ts). */
	readonly dockerSocket: string | undefined;
	readonly logFormat: LogFormat;
	readonly logLevel: LogLevel;
}

export interface ParsedConfig {
	readonly config: Config;
	/** Everything wrong, one line each, values of secrets left out; the config is not to be used unless this is empty. */
	readonly problems: readonly string[];
	/** The text of each setting that is set, and where it was found. */
	readonly found: ReadonlyMap<SettingName, Found>;
	/** The TOML file that was read; undefined: there was none. */
	readonly file: string | undefined;
}

type Values = Readonly<Partial<Record<SettingName, string>>>;
const metricsPortDefault = 9_100;
const logLevels = ["debug", "info", "warn", "error"] as const;
const logFormats = ["text", "json"] as const;

/**
 * Makes the configuration from flags, else variables, else the files their `_FILE` twins name, else the TOML file; an empty text counts as not set.
 * Pure but for `readFile`; reports every problem at once.
 */
export function parseConfig(
	flags: Readonly<Record<string, string>>,
	env: Readonly<Record<string, string | undefined>>,
	readFile: ReadFile,
	toml?: TomlFile,
): ParsedConfig {
	const problems: string[] = [];
	const found = collectValues(flags, env, toml, readFile, problems);
	const values: Values = Object.fromEntries([...found].map(([name, { text }]) => [name, text]));
	const labels = found.get("labels")?.origin.source === "toml" ? toml?.labels : undefined;
	const strategy = readStrategy(values, problems);
	const config: Config = {
		url: readEndpoint("MUSTER_URL", values.url, problems),
		serverAddr: readEndpoint("MUSTER_SERVER_ADDR", values.serverAddr, problems),
		...strategy,
		name: readName(values, problems),
		labels: labels ?? readLabels(values.labels, problems),
		stateDir: values.stateDir,
		machineIdFile: values.machineIdFile,
		mesh: readMesh(values, problems),
		metricsPort: readMetricsPort(values.metricsPort, problems),
		dockerSocket: readDockerSocket(values.dockerSocket, problems),
		logFormat: readChoice("MUSTER_LOG_FORMAT", values.logFormat, logFormats, "text", problems),
		logLevel: readChoice("MUSTER_LOG_LEVEL", values.logLevel, logLevels, "info", problems),
	};
	if (strategy.apiKey !== undefined && values.serverAddr === undefined && values.url === undefined) {
		problems.push("Cannot report: neither MUSTER_SERVER_ADDR nor MUSTER_URL is set, give the server's address");
	}
	const told = problems.map((problem) => problem + whereInToml(problem, found, toml?.path));
	return { config: Object.freeze(config), problems: [...(toml?.problems ?? []), ...told], found, file: toml?.path };
}

/** Problems name a setting by its variable: who wrote it into the TOML file is told the key. */
function whereInToml(problem: string, found: ReadonlyMap<SettingName, Found>, path: string | undefined): string {
	const meant = [...found].filter(
		([name, { origin }]) => origin.source === "toml" && new RegExp(`\\b${settings[name].variable}\\b`).test(problem),
	);
	if (meant.length === 0) return "";
	return ` (${meant.map(([name, { origin }]) => `${settings[name].variable} is "${origin.name}"`).join(", ")} in "${path}")`;
}

/** What is still missing for an enrollment, one line each; empty when the worker can enroll (A16). */
export function missingForEnrollment(config: Config): readonly string[] {
	if (config.enrollKey === undefined && config.requestedId !== undefined) {
		return [
			"Cannot use MUSTER_WORKER_ID alone: MUSTER_WORKER_API_KEY is not set, give the worker's API key too, or MUSTER_ENROLL_TOKEN or MUSTER_AUTO_ENROLLMENT_KEY to enroll with that id",
		];
	}
	const wanted = [
		[config.url, "MUSTER_URL", "the server's address", ""],
		[
			config.enrollKey,
			"MUSTER_ENROLL_TOKEN",
			"a site key, an enrollment key or a host token",
			"; or an auto-enrollment secret as MUSTER_AUTO_ENROLLMENT_KEY; or MUSTER_WORKER_ID and MUSTER_WORKER_API_KEY of a worker made for this host",
		],
		[config.name, "MUSTER_WORKER_NAME", "this worker's name", ""],
	] as const;
	return wanted
		.filter(([value]) => value === undefined)
		.map(
			([, variable, what, or]) =>
				`Cannot enroll: ${variable} is not set, give ${what} there, with ${flagOf(variable)} or as ${keyOf(variable)} in the configuration file${or}`,
		);
}

function readEndpoint(variable: string, text: string | undefined, problems: string[]): Endpoint | undefined {
	if (text === undefined) return undefined;
	const endpoint = parseEndpoint(text);
	if (endpoint === undefined)
		problems.push(`Cannot use ${variable} "${text}": give an address like http://10.0.0.5:7480, without user, query or fragment`);
	return endpoint;
}

function readName({ workerName, nodeName }: Values, problems: string[]): string | undefined {
	if (workerName !== undefined && nodeName !== undefined && workerName !== nodeName) {
		problems.push(
			`Cannot use MUSTER_WORKER_NAME "${workerName}" and MUSTER_NODE_NAME "${nodeName}" together: they mean the same, give one`,
		);
	}
	const name = workerName ?? nodeName;
	if (name !== undefined && !plainText.test(name)) {
		problems.push(`Cannot use MUSTER_WORKER_NAME ${JSON.stringify(name)}: it holds control characters`);
	}
	return name;
}

function readLabels(text: string | undefined, problems: string[]): readonly Label[] {
	const labels = new Map<string, string>();
	for (const part of (text ?? "").split(",")) {
		if (part.trim() === "") continue;
		const equals = part.indexOf("=");
		const key = part.slice(0, Math.max(0, equals)).trim();
		if (key === "") problems.push(`Cannot use MUSTER_LABELS: "${part.trim()}" is not of the form key=value`);
		else if (labels.has(key)) problems.push(`Cannot use MUSTER_LABELS: "${key}" is given twice`);
		else labels.set(key, part.slice(equals + 1).trim());
	}
	return [...labels].map(([key, value]) => ({ key, value }));
}

function readMetricsPort(text: string | undefined, problems: string[]): number | undefined {
	if (text === undefined) return metricsPortDefault;
	if (text === "off") return undefined;
	const port = Number(text);
	if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
	problems.push(`Cannot use MUSTER_METRICS_PORT "${text}": give a port from 1 to 65535, or off`);
	return undefined;
}

function readDockerSocket(text: string | undefined, problems: string[]): string | undefined {
	const path = text?.replace(/^unix:\/\//, "");
	if (path === undefined || path === "off" || path.startsWith("/")) return path;
	problems.push(`Cannot use MUSTER_DOCKER_SOCKET "${text}": give the whole path of Docker's socket, like /var/run/docker.sock, or off`);
	return undefined;
}

function readChoice<T extends string>(
	variable: string,
	text: string | undefined,
	choices: readonly T[],
	fallback: T,
	problems: string[],
): T {
	if (text === undefined) return fallback;
	const choice = choices.find((known) => known === text);
	if (choice === undefined)
		problems.push(`Cannot use ${variable} "${text}": it is ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`);
	return choice ?? fallback;
}
