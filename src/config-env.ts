/** Reads variables with their `_FILE` twins and finds the ones that nobody knows. Pure but for the file reader it is given. */
import * as v from "valibot";
import type { Field } from "./config-fields.ts";

/** Reads a text file; throws when it cannot. */
export type ReadFile = (path: string) => string;
type Env = Readonly<Record<string, string | undefined>>;
type Values<F extends Record<string, Field<unknown>>> = { readonly [Name in keyof F]?: F[Name] extends Field<infer T> ? T : never };

/** The worker's own variables: a machine may hold both in one environment file, so they are not taken for typing errors. */
const workerVariables = [
	"MUSTER_URL",
	"MUSTER_ENROLL_TOKEN",
	"MUSTER_SITE_CODE",
	"MUSTER_TENANT",
	"MUSTER_WORKER_ID",
	"MUSTER_WORKER_API_KEY",
	"MUSTER_WORKER_NAME",
	"MUSTER_NODE_NAME",
	"MUSTER_LABELS",
	"MUSTER_STATE_DIR",
	"MUSTER_METRICS_PORT",
	"MUSTER_MESH_MODE",
	"MUSTER_MESH_STATE_DIR",
	"MUSTER_MESH_SOCKET",
	"MUSTER_TAILSCALE",
	"MUSTER_TAILSCALED",
];

/** Reads every known variable; what is wrong is added to `problems` and left out of the result. An empty value counts as unset. */
export function readVariables<F extends Record<string, Field<unknown>>>(
	fields: F,
	env: Env,
	readFile: ReadFile,
	problems: string[],
): Values<F> {
	const entries: [string, unknown][] = [];
	for (const [name, { schema, secret }] of Object.entries(fields)) {
		const text = readText(name, env, readFile, problems);
		if (text === undefined) continue;
		const result = v.safeParse(schema, text);
		if (result.success) entries.push([name, result.output]);
		else problems.push(`${name} is ${secret ? "not usable" : JSON.stringify(text)}: ${result.issues[0].message}`);
	}
	return Object.fromEntries(entries) as Values<F>;
}

/** A problem for each variable of a part that this version does not have. */
export function notAvailable(names: readonly string[], env: Env): string[] {
	return names
		.flatMap((name) => [name, `${name}_FILE`])
		.filter((name) => isGiven(env, name))
		.map((name) => `${name} is given: what it is for is not available in this version, unset it`);
}

/** A problem when `name` is given and its companion is not. */
export function absent(env: Env, name: string, companion: string): string[] {
	return isSet(env, name) && !isSet(env, companion) ? [`${companion} is not given: ${name} needs it, give both or neither`] : [];
}

/** A problem for each `MUSTER_*` variable that neither the server nor the worker knows, with the nearest name that one of them does. */
export function unknownVariables(known: readonly string[], env: Env): string[] {
	const names = new Set([...known, ...workerVariables].flatMap((name) => [name, `${name}_FILE`]));
	return Object.keys(env)
		.filter((name) => name.startsWith("MUSTER_") && isGiven(env, name) && !names.has(name))
		.map((name) => {
			const near = nearest(name, [...names]);
			return near === undefined ? `${name} is unknown: unset it` : `${name} is unknown: did you mean ${near}?`;
		});
}

/** Whether a variable or its `_FILE` twin has a value. */
export function isSet(env: Env, name: string): boolean {
	return isGiven(env, name) || isGiven(env, `${name}_FILE`);
}

function isGiven(env: Env, name: string): boolean {
	return env[name] !== undefined && env[name] !== "";
}

function readText(name: string, env: Env, readFile: ReadFile, problems: string[]): string | undefined {
	const fileName = `${name}_FILE`;
	const path = env[fileName];
	if (path === undefined || path === "") return isGiven(env, name) ? env[name] : undefined;
	if (isGiven(env, name)) {
		problems.push(`${name} and ${fileName} are both given: keep one of them`);
		return undefined;
	}
	try {
		const text = readFile(path).replace(/\r?\n$/, "");
		if (text !== "") return text;
		problems.push(`${fileName} is ${JSON.stringify(path)}: that file is empty, write the value of ${name} into it`);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		problems.push(`${fileName} is ${JSON.stringify(path)}: that file cannot be read (${why}), check the path and its permissions`);
	}
	return undefined;
}

function nearest(name: string, candidates: readonly string[]): string | undefined {
	const ranked = candidates
		.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
		.sort((left, right) => left.distance - right.distance);
	const best = ranked[0];
	// Past a third of the letters a suggestion confuses more than it helps.
	return best !== undefined && best.distance <= name.length / 3 ? best.candidate : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(left: string, right: string): number {
	let row = Array.from({ length: right.length + 1 }, (_, index) => index);
	for (let i = 1; i <= left.length; i++) {
		const next = [i];
		for (let j = 1; j <= right.length; j++) {
			const substitution = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
			next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
		}
		row = next;
	}
	return row[right.length] ?? 0;
}
