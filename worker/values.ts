import { reasonOf } from "./fatal.ts";
import { flagOf, foreignVariables, keyOf, type Setting, type SettingName, settingNames, settings } from "./settings.ts";
import { suggest } from "./suggest.ts";
import type { TomlFile } from "./toml.ts";

/** Reads a file's text; throws the system's error. */
export type ReadFile = (path: string) => string;

/** Where a setting's text was found. */
export interface Origin {
	readonly source: "flag" | "variable" | "toml";
	/** `--url`, `MUSTER_URL` or `url`, of a twin its own name. */
	readonly name: string;
	/** The file that a twin named. */
	readonly file: string | undefined;
}

/** A setting's text. */
export interface Found {
	readonly text: string;
	readonly origin: Origin;
}

type Texts = Readonly<Record<string, string | undefined>>;

/** Texts of one source, by variable name, and how a variable is called there. */
interface Source {
	readonly kind: Origin["source"];
	readonly texts: Texts;
	readonly nameOf: (variable: string) => string;
	/** The same for a message. */
	readonly shownAs: (variable: string) => string;
}

/**
 * Finds each setting's text: flag, else variable, else key of the TOML file; in each, if its `_FILE` twin stands there instead, the text of the
 * file that it names, without its last line feed. Adds a problem for a value given twice in one place, a file that cannot be read, and a variable that
 * looks like a slip of the pen.
 * @param flags by variable name, as `parseCommandLine` gives them
 */
export function collectValues(
	flags: Texts,
	env: Texts,
	toml: TomlFile | undefined,
	readFile: ReadFile,
	problems: string[],
): ReadonlyMap<SettingName, Found> {
	reportUnknownVariables(env, problems);
	const itself = (variable: string) => variable;
	const inToml = (variable: string) => `"${keyOf(variable)}" in "${toml?.path}"`;
	const sources: readonly Source[] = [
		{ kind: "flag", texts: flags, nameOf: flagOf, shownAs: flagOf },
		{ kind: "variable", texts: env, nameOf: itself, shownAs: itself },
		{ kind: "toml", texts: toml?.texts ?? {}, nameOf: keyOf, shownAs: inToml },
	];
	const found = new Map<SettingName, Found>();
	for (const name of settingNames) {
		for (const source of sources) {
			const value = oneOf(source, settings[name], readFile, problems);
			if (value === undefined) continue;
			found.set(name, value);
			break;
		}
	}
	return found;
}

/** The value of one source; undefined when it gives none. */
function oneOf(source: Source, { variable, twin }: Setting, readFile: ReadFile, problems: string[]): Found | undefined {
	const { kind, texts, nameOf, shownAs } = source;
	const [own, path] = [texts[variable] || undefined, twin ? texts[`${variable}_FILE`] || undefined : undefined];
	if (own !== undefined) {
		if (path !== undefined) {
			problems.push(`Cannot use ${shownAs(variable)} and ${shownAs(`${variable}_FILE`)} together: they mean the same, unset one`);
		}
		return { text: own, origin: { source: kind, name: nameOf(variable), file: undefined } };
	}
	if (path === undefined) return undefined;
	const shown = shownAs(`${variable}_FILE`);
	try {
		const text = readFile(path).replace(/\r?\n$/, "");
		if (text !== "") return { text, origin: { source: kind, name: nameOf(`${variable}_FILE`), file: path } };
		problems.push(`Cannot use ${shown} "${path}": the file is empty`);
	} catch (error) {
		problems.push(`Cannot read ${shown} "${path}": ${reasonOf(error)}`);
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
		const ours = /^MUSTER_(WORKER|NODE|ENROLL|LABEL|STATE|CONFIG)/.test(variable);
		if (meant !== undefined) problems.push(`Unknown variable ${variable}: did you mean ${meant}?`);
		else if (ours) problems.push(`Unknown variable ${variable}: see muster-worker --help for those the worker reads`);
	}
}
