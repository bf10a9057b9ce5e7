import type { StackProblem } from "../engine/stack-check.ts";

/** What a piece of a compose file is: scalars, lists, and maps with text keys. */
export type Node = string | number | bigint | boolean | null | readonly Node[] | ReadonlyMap<string, Node>;

/** A piece of a compose file with its place, and where problems are gathered. */
export interface At {
	readonly value: Node;
	/** As in `services.web.ports[0]`. */
	readonly path: string;
	readonly problems: StackProblem[];
}

/** Notes what is wrong here, with the remedy; the sentence goes on from the path. Returns undefined, for what cannot be read. */
export function wrong(at: At, message: string): undefined {
	at.problems.push({ path: at.path === "" ? "the file" : at.path, message });
	return undefined;
}

/** The piece below a key. */
export function below(at: At, key: string, value: Node): At {
	return { ...at, path: at.path === "" ? key : `${at.path}.${key}`, value };
}

/** Whether a map has a value under this key. */
export function has(at: At, key: string): boolean {
	return at.value instanceof Map && (at.value.get(key) ?? null) !== null;
}

/** A value as a message shows it: quoted, and of a list or map only what it is. `readCompose` takes variables' values out and cuts it. */
export function shown(value: Node): string {
	if (typeof value === "string") return JSON.stringify(value);
	if (Array.isArray(value)) return "a list";
	return typeof value === "object" && value !== null ? "a map" : String(value);
}

/** The entries of a map; of anything else none, and a problem. Null, an empty value in YAML, has none. */
export function entries(at: At): readonly (readonly [string, At])[] {
	if (at.value === null) return [];
	if (!(at.value instanceof Map)) {
		wrong(at, `is ${shown(at.value)}, and has to be a map`);
		return [];
	}
	return [...at.value].map(([key, value]: readonly [string, Node]) => [key, below(at, key, value)]);
}

/** The items of a list; of anything else none, and a problem. */
export function items(at: At): readonly At[] {
	if (at.value === null) return [];
	if (!Array.isArray(at.value)) {
		wrong(at, `is ${shown(at.value)}, and has to be a list`);
		return [];
	}
	return at.value.map((value: Node, index) => ({ ...at, path: `${at.path}[${index}]`, value }));
}

/** Text, also of a number or a truth value; undefined, with a problem, of anything else. */
export function text(at: At): string | undefined {
	const { value } = at;
	if (typeof value === "string") return value;
	if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
	return wrong(at, `is ${value === null ? "empty" : shown(value)}, and has to be text`);
}

/** Texts of a list. */
export function texts(at: At): string[] {
	return items(at).flatMap((item) => text(item) ?? []);
}

/** Texts of a list, or one text. */
export function textOrTexts(at: At): string[] {
	if (Array.isArray(at.value) || at.value === null) return texts(at);
	const one = text(at);
	return one === undefined ? [] : [one];
}

/** A whole number within bounds, also written as text, which is what a variable's value is. */
export function whole(at: At, min: number, max: number): number | undefined {
	const written = typeof at.value === "string" || typeof at.value === "number" || typeof at.value === "bigint" ? String(at.value) : "";
	const value = /^\d{1,15}$/.test(written) ? Number(written) : Number.NaN;
	return value >= min && value <= max ? value : wrong(at, `is ${shown(at.value)}, and has to be a whole number from ${min} to ${max}`);
}

/** A truth value, also written as text. */
export function truth(at: At): boolean | undefined {
	if (at.value === true || at.value === "true") return true;
	if (at.value === false || at.value === "false") return false;
	return wrong(at, `is ${shown(at.value)}, and has to be true or false`);
}

/** One of a few texts. */
export function choice<const T extends string>(at: At, choices: readonly T[]): T | undefined {
	const value = text(at);
	if (value === undefined) return undefined;
	return choices.find((it) => it === value) ?? wrong(at, `is ${shown(value)}, and has to be ${choices.join(", ")}`);
}

/** What a map's keys are read with. */
export type Readers = Readonly<Record<string, (at: At) => void>>;

/**
 * Reads a map, each key with its reader. A key without one is a problem, with the remedy if `instead` has one; none is passed over, but those
 * that begin with `x-`, which Compose keeps for others, and those without a value.
 */
export function readMap(at: At, readers: Readers, instead: Readonly<Record<string, string>> = {}): void {
	for (const [key, value] of entries(at)) {
		if (key.startsWith("x-")) continue;
		const reader = Object.hasOwn(readers, key) ? readers[key] : undefined;
		if (reader === undefined) {
			const remedy = Object.hasOwn(instead, key) ? instead[key] : undefined;
			wrong(value, remedy === undefined ? `is not supported: ${suggest(key, Object.keys(readers))}` : `is not supported: ${remedy}`);
		} else if (value.value !== null) reader(value);
	}
}

function suggest(key: string, known: readonly string[]): string {
	const plain = (it: string) => it.toLowerCase().replace(/[-_\s]|s$/g, "");
	const meant = known.find((it) => plain(it) === plain(key));
	return meant === undefined ? "take it out" : `did you mean ${meant}?`;
}

/** Pairs of a map, or of a list of `key=value`. A key without a value is given to `bare`, which returns its value or undefined with a problem. */
export function pairs(at: At, bare: (at: At, key: string) => string | undefined): Record<string, string> {
	const found = new Map<string, string>();
	const add = (where: At, key: string, value: string | undefined) => {
		if (key === "") wrong(where, "has no name before the =: give it one");
		else if (value !== undefined) found.set(key, value);
	};
	if (Array.isArray(at.value)) {
		for (const item of items(at)) {
			const line = text(item) ?? "";
			const cut = line.indexOf("=");
			if (cut < 0) add(item, line, bare(item, line));
			else add(item, line.slice(0, cut), line.slice(cut + 1));
		}
	} else {
		for (const [key, value] of entries(at)) add(value, key, value.value === null ? bare(value, key) : text(value));
	}
	return Object.fromEntries(found);
}
