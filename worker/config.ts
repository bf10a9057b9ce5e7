import { Secret } from "../src/lib/secret.ts";
import type { LogFormat, LogLevel } from "../src/lib/log.ts";
import { claimedKind, parseToken, type ParsedToken } from "../src/protocol/token.ts";
import { type Endpoint, parseEndpoint } from "./address.ts";
import { flagOf, type SettingName } from "./settings.ts";
import { collectValues, type ReadFile } from "./values.ts";

/** How the worker proves itself the first time. */
export type EnrollKey =
	| { readonly kind: "site"; readonly key: Secret; readonly siteCode: string; readonly tenant: string | undefined }
	| { readonly kind: "enrollment"; readonly key: Secret }
	| { readonly kind: "host"; readonly token: Secret; readonly sharedSecret: Secret };

/** One label to enroll with. */
export interface Label {
	readonly key: string;
	readonly value: string;
}

/** The worker's configuration, every value checked. */
export interface Config {
	/** Where to enroll. */
	readonly url: Endpoint | undefined;
	/** Where to report; undefined: what the enroll reply says, else `url`. */
	readonly serverAddr: Endpoint | undefined;
	readonly enrollKey: EnrollKey | undefined;
	/** The API-key strategy: run as this worker, never enroll (A12). */
	readonly apiKey: { readonly workerId: string; readonly key: Secret } | undefined;
	readonly name: string | undefined;
	readonly labels: readonly Label[];
	/** Undefined: the default (worker/state-dir.ts). */
	readonly stateDir: string | undefined;
	readonly machineIdFile: string | undefined;
	readonly logFormat: LogFormat;
	readonly logLevel: LogLevel;
}

export interface ParsedConfig {
	readonly config: Config;
	/** Everything wrong, one line each, values of secrets left out; the config is not to be used unless this is empty. */
	readonly problems: readonly string[];
}

type Values = Readonly<Partial<Record<SettingName, string>>>;
const logLevels = ["debug", "info", "warn", "error"] as const;
const logFormats = ["text", "json"] as const;

/**
 * Makes the configuration from flags, then variables, then the files their `_FILE` twins name; an empty variable counts as not set.
 * Pure but for `readFile`; reports every problem at once.
 */
export function parseConfig(
	flags: Readonly<Record<string, string>>,
	env: Readonly<Record<string, string | undefined>>,
	readFile: ReadFile,
): ParsedConfig {
	const problems: string[] = [];
	const values = collectValues(flags, env, readFile, problems);
	if (env.MUSTER_AUTO_ENROLLMENT_KEY || env.MUSTER_AUTO_ENROLLMENT_KEY_FILE) {
		problems.push("Cannot use MUSTER_AUTO_ENROLLMENT_KEY: auto-enrollment is not available in this version, use MUSTER_ENROLL_TOKEN");
	}
	const apiKey = readApiKey(values, problems);
	if (values.enrollToken !== undefined && (values.workerId !== undefined || values.workerApiKey !== undefined)) {
		const other = values.workerApiKey === undefined ? "MUSTER_WORKER_ID" : "MUSTER_WORKER_API_KEY";
		problems.push(`Cannot use MUSTER_ENROLL_TOKEN together with ${other}: a worker either enrolls or has its API key, unset one of them`);
	}
	const config: Config = {
		url: readEndpoint("MUSTER_URL", values.url, problems),
		serverAddr: readEndpoint("MUSTER_SERVER_ADDR", values.serverAddr, problems),
		enrollKey: readEnrollKey(values, problems),
		apiKey,
		name: readName(values, problems),
		labels: readLabels(values.labels, problems),
		stateDir: values.stateDir,
		machineIdFile: values.machineIdFile,
		logFormat: readChoice("MUSTER_LOG_FORMAT", values.logFormat, logFormats, "text", problems),
		logLevel: readChoice("MUSTER_LOG_LEVEL", values.logLevel, logLevels, "info", problems),
	};
	if (apiKey !== undefined && values.serverAddr === undefined && values.url === undefined) {
		problems.push("Cannot report: neither MUSTER_SERVER_ADDR nor MUSTER_URL is set, give the server's address");
	}
	return { config: Object.freeze(config), problems };
}

/** What is still missing for an enrollment, one line each; empty when the worker can enroll (A16). */
export function missingForEnrollment(config: Config): readonly string[] {
	const wanted = [
		[config.url, "MUSTER_URL", "the server's address"],
		[config.enrollKey, "MUSTER_ENROLL_TOKEN", "a site key, an enrollment key or a host token"],
		[config.name, "MUSTER_WORKER_NAME", "this worker's name"],
	] as const;
	return wanted
		.filter(([value]) => value === undefined)
		.map(([, variable, what]) => `Cannot enroll: ${variable} is not set, give ${what} there or with ${flagOf(variable)}`);
}

function readEndpoint(variable: string, text: string | undefined, problems: string[]): Endpoint | undefined {
	if (text === undefined) return undefined;
	const endpoint = parseEndpoint(text);
	if (endpoint === undefined)
		problems.push(`Cannot use ${variable} "${text}": give an address like http://10.0.0.5:7480, without user, query or fragment`);
	return endpoint;
}

function readEnrollKey(values: Values, problems: string[]): EnrollKey | undefined {
	if (values.enrollToken === undefined) return undefined;
	const token = parseToken(values.enrollToken);
	if (token === undefined) {
		const kind = claimedKind(values.enrollToken);
		const what =
			kind === undefined
				? "it does not begin with mst_site_, mst_enroll_ or mst_host_"
				: `it is no whole ${kind} key, a part is missing or mistyped`;
		problems.push(`Cannot use MUSTER_ENROLL_TOKEN: ${what}, copy it again`);
		return undefined;
	}
	return keyOfKind(token.kind, new Secret(values.enrollToken), values, problems);
}

function keyOfKind(kind: ParsedToken["kind"], key: Secret, values: Values, problems: string[]): EnrollKey | undefined {
	switch (kind) {
		case "enroll":
			return { kind: "enrollment", key };
		case "site":
			if (values.siteCode !== undefined) return { kind: "site", key, siteCode: values.siteCode, tenant: values.tenant };
			problems.push("Cannot enroll with a site key: MUSTER_SITE_CODE is not set, give the code of its site");
			return undefined;
		case "host":
			if (values.sharedSecret !== undefined) return { kind: "host", token: key, sharedSecret: new Secret(values.sharedSecret) };
			problems.push("Cannot enroll with a host token: MUSTER_SHARED_SECRET is not set, give the cluster's shared secret");
			return undefined;
		case "worker":
			problems.push("Cannot use MUSTER_ENROLL_TOKEN: it holds a worker's API key, give it as MUSTER_WORKER_API_KEY with MUSTER_WORKER_ID");
			return undefined;
	}
}

function readApiKey(values: Values, problems: string[]): Config["apiKey"] {
	const { workerId, workerApiKey } = values;
	if (workerId === undefined && workerApiKey === undefined) return undefined;
	if (workerId === undefined) {
		problems.push("Cannot use MUSTER_WORKER_API_KEY alone: MUSTER_WORKER_ID is not set, give the worker's id too");
		return undefined;
	}
	if (workerApiKey === undefined) {
		problems.push("Cannot use MUSTER_WORKER_ID alone: MUSTER_WORKER_API_KEY is not set, give the worker's API key too");
		return undefined;
	}
	// The key may be the admin's own text (A2), so only a text that claims our form is held to it.
	if (claimedKind(workerApiKey) !== undefined && parseToken(workerApiKey)?.kind !== "worker") {
		problems.push("Cannot use MUSTER_WORKER_API_KEY: it is no whole worker key (mst_worker_…), copy it again");
	}
	return { workerId, key: new Secret(workerApiKey) };
}

function readName({ workerName, nodeName }: Values, problems: string[]): string | undefined {
	if (workerName !== undefined && nodeName !== undefined && workerName !== nodeName) {
		problems.push(
			`Cannot use MUSTER_WORKER_NAME "${workerName}" and MUSTER_NODE_NAME "${nodeName}" together: they mean the same, give one`,
		);
	}
	return workerName ?? nodeName;
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
