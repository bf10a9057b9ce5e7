import { parse, TomlError } from "smol-toml";
import { errnoOf, reasonOf } from "./fatal.ts";
import { keyOf, type Setting, settingNames, settings } from "./settings.ts";
import { suggest } from "./suggest.ts";

/** What finding the file needs of the disk. */
export interface TomlDisk {
	/** Whether a file is there; false too where this user may not look. */
	exists(path: string): boolean;
	/** A file's text and permission bits; undefined bits where the system has none. Throws the system's error. */
	read(path: string): { readonly text: string; readonly mode: number | undefined };
}

/** One label to enroll with. */
export interface Label {
	readonly key: string;
	readonly value: string;
}

/** A TOML file as read: settings still as texts, by variable name (`MUSTER_URL`, `MUSTER_URL_FILE`). */
export interface TomlFile {
	readonly path: string;
	readonly texts: Readonly<Record<string, string>>;
	/** The table `[labels]`, whose values may hold what `K=V,K=V` cannot. */
	readonly labels: readonly Label[] | undefined;
	/** Everything wrong with it, one line each, without any value. */
	readonly problems: readonly string[];
}

interface Known {
	readonly variable: string;
	readonly setting: Setting;
}

/** Every key of the file. */
const known: ReadonlyMap<string, Known> = new Map(
	settingNames.flatMap((name) => {
		const setting = settings[name];
		const variables = setting.twin ? [setting.variable, `${setting.variable}_FILE`] : [setting.variable];
		return variables.map((variable): [string, Known] => [keyOf(variable), { variable, setting }]);
	}),
);

/**
 * Reads the configuration file: the one that `--config` gives, which must exist, else the first of the usual ones that does; undefined when none
 * does. Never throws: what is wrong stands in its problems. A directory that is closed to this user, as a service's home often is, holds none.
 */
export function findToml(disk: TomlDisk, given: string | undefined, usual: readonly string[]): TomlFile | undefined {
	const path = given ?? usual.find((place) => disk.exists(place));
	if (path === undefined) return undefined;
	try {
		const { text, mode } = disk.read(path);
		return readToml(path, text, mode);
	} catch (error) {
		const name = given === undefined ? "" : "--config ";
		const remedy = errnoOf(error) === "EACCES" ? "; run the worker as a user who may read it" : "";
		return { path, texts: {}, labels: undefined, problems: [`Cannot read ${name}"${path}": ${reasonOf(error)}${remedy}`] };
	}
}

/**
 * Reads the text of a configuration file. Pure; reports every problem at once, but for a syntax error, which is the only one.
 * @param mode the file's permission bits: nobody else may read its secrets, or change where the worker reports; a group may read it
 */
export function readToml(path: string, text: string, mode: number | undefined): TomlFile {
	const problems: string[] = [];
	const texts: Record<string, string> = {};
	let labels: readonly Label[] | undefined;
	for (const [raw, value] of Object.entries(parseText(path, text, problems))) {
		const key = raw.replaceAll("-", "_");
		const entry = known.get(key);
		if (entry === undefined) problems.push(unknownKey(path, raw));
		else if (texts[entry.variable] !== undefined) problems.push(`Cannot use "${key}" in "${path}" twice: give it once`);
		else if (entry.variable === settings.labels.variable && isTable(value)) {
			labels = readLabels(path, value, problems);
			texts[entry.variable] = labels.map((label) => `${label.key}=${label.value}`).join(",");
		} else if (typeof value === "string") texts[entry.variable] = value;
		else if (entry.variable === settings.metricsPort.variable && typeof value === "number") texts[entry.variable] = String(value);
		else problems.push(`Cannot use "${raw}" in "${path}": it is ${kindOf(value)}, ${expected(entry)}`);
	}
	refuseShared(path, texts, mode, problems);
	return { path, texts, labels, problems };
}

function parseText(path: string, text: string, problems: string[]): Readonly<Record<string, unknown>> {
	try {
		return parse(text.replace(/^\uFEFF/, ""));
	} catch (error) {
		if (!(error instanceof TomlError)) throw error;
		// The further lines of the message quote the file, which may hold a secret.
		const why = error.message.split("\n")[0]?.replace(/^Invalid TOML document: /, "");
		problems.push(
			`Cannot read "${path}": line ${error.line}, column ${error.column}: ${why}; a text stands in quotes, as in url = "http://10.0.0.5:7480"`,
		);
		return {};
	}
}

function unknownKey(path: string, raw: string): string {
	// MUSTER_URL and enrol-token are meant for one of ours too.
	const plain = raw
		.toLowerCase()
		.replaceAll("-", "_")
		.replace(/^muster_/, "");
	const meant = suggest(plain, [...known.keys()]);
	const remedy =
		meant === undefined ? "its keys are the flags of muster-worker --help without dashes, as in worker_name" : `did you mean ${meant}?`;
	return `Unknown key ${JSON.stringify(raw)} in "${path}": ${remedy}`;
}

function readLabels(path: string, table: object, problems: string[]): readonly Label[] {
	return Object.entries(table).flatMap(([key, value]: [string, unknown]) => {
		if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return [{ key, value: String(value) }];
		problems.push(`Cannot use label ${JSON.stringify(key)} in "${path}": it is ${kindOf(value)}, give a text in quotes`);
		return [];
	});
}

function expected({ variable }: Known): string {
	if (variable === settings.metricsPort.variable) return 'give a port, or "off" in quotes';
	if (variable === settings.labels.variable) return 'give a table [labels] or a text like "rack=7,row=2"';
	return "give a text in quotes";
}

function kindOf(value: unknown): string {
	if (typeof value === "number" || typeof value === "bigint") return "a number";
	if (typeof value === "boolean") return "true or false";
	if (value instanceof Date) return "a date";
	if (typeof value === "string") return "a text";
	return Array.isArray(value) ? "a list" : "a table";
}

function isTable(value: unknown): value is object {
	return typeof value === "object" && kindOf(value) === "a table";
}

function refuseShared(path: string, texts: Readonly<Record<string, string>>, mode: number | undefined, problems: string[]): void {
	if (mode === undefined) return;
	const remedy = `run chmod 600 ${path} as its owner (640 if a group that only the worker is in has to read it)`;
	const bits = (mode & 0o777).toString(8).padStart(4, "0");
	const secrets = [...known].filter(([, { variable, setting }]) => setting.secret && setting.variable === variable && texts[variable]);
	if ((mode & 0o002) !== 0) problems.push(`Cannot use "${path}": every user can change it (${bits}), ${remedy}`);
	else if ((mode & 0o004) !== 0 && secrets.length > 0) {
		const keys = secrets.map(([key]) => key).join(" and ");
		problems.push(`Cannot use "${path}": it holds ${keys} and every user can read it (${bits}), ${remedy}`);
	}
}
