import { reasonOf } from "./fatal.ts";
import { flagOf, foreignVariables, type SettingName, settingNames, settings } from "./settings.ts";
import { suggest } from "./suggest.ts";

/** Reads a file's text; throws the system's error. */
export type ReadFile = (path: string) => string;

type Texts = Readonly<Record<string, string | undefined>>;

/**
 * Finds each setting's text: flag, else variable, else the file that the `_FILE` twin names, without its last line feed. Adds a problem for a value
 * given twice, a file that cannot be read, and a variable that looks like a slip of the pen.
 * @param flags by variable name, as `parseCommandLine` gives them
 */
export function collectValues(flags: Texts, env: Texts, readFile: ReadFile, problems: string[]): Partial<Record<SettingName, string>> {
	reportUnknownVariables(env, problems);
	const values: Partial<Record<SettingName, string>> = {};
	for (const name of settingNames) {
		const { variable, twin } = settings[name];
		const fromFlags = oneOf(flags, variable, twin, flagOf, readFile, problems);
		const value = fromFlags ?? oneOf(env, variable, twin, (known) => known, readFile, problems);
		if (value !== undefined) values[name] = value;
	}
	return values;
}

/** The value of one source, flags or variables; undefined when it gives none. */
function oneOf(
	source: Texts,
	variable: string,
	twin: boolean,
	shown: (variable: string) => string,
	readFile: ReadFile,
	problems: string[],
): string | undefined {
	const [own, path] = [source[variable] || undefined, twin ? source[`${variable}_FILE`] || undefined : undefined];
	if (path === undefined) return own;
	const [name, twinName] = [shown(variable), shown(`${variable}_FILE`)];
	if (own !== undefined) {
		problems.push(`Cannot use ${name} and ${twinName} together: they mean the same, unset one`);
		return own;
	}
	try {
		const text = readFile(path).replace(/\r?\n$/, "");
		if (text !== "") return text;
		problems.push(`Cannot use ${twinName} "${path}": the file is empty`);
	} catch (error) {
		problems.push(`Cannot read ${twinName} "${path}": ${reasonOf(error)}`);
	}
	return undefined;
}

function reportUnknownVariables(env: Texts, problems: string[]): void {
	const known = settingNames.flatMap((name) => {
		const { variable, twin } = settings[name];
		return twin ? [variable, `${variable}_FILE`] : [variable];
	});
	const foreign = new Set([...foreignVariables, ...foreignVariables.map((variable) => `${variable}_FILE`)]);
	for (const variable of Object.keys(env).sort()) {
		if (!variable.startsWith("MUSTER_") || known.includes(variable) || foreign.has(variable)) continue;
		const meant = suggest(variable, known);
		// The server's variables may stand in the same environment: only what is surely meant for the worker is reported.
		const ours = /^MUSTER_(WORKER|NODE|ENROLL|LABEL|STATE)/.test(variable);
		if (meant !== undefined) problems.push(`Unknown variable ${variable}: did you mean ${meant}?`);
		else if (ours) problems.push(`Unknown variable ${variable}: see muster-worker --help for those the worker reads`);
	}
}
