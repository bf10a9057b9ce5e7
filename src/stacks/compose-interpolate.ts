import type { StackProblem } from "../engine/stack-check.ts";
import { type Node, shown } from "./compose-at.ts";

/** A text in its parts: as it stands, or a variable with what to do about it. */
type Part = string | { readonly name: string; readonly operator: string; readonly rest: readonly Part[] };

/** What cannot be put in; its message follows the place in a sentence. */
class Fault extends Error {}

const depthMax = 16;

/**
 * Puts variables into a text, as Compose does: `$NAME`, `${NAME}`, with `:-` `-` (what to take when it is unset), `:?` `?` (an error then) and
 * `:+` `+` (what to take when it is set); with a colon an empty one counts as unset. `$$` is a dollar. What is to be taken may hold variables
 * itself. Unlike Compose, a variable that is not given and has no default is a problem: nothing is left empty unsaid. Pure.
 */
export function interpolate(
	source: string,
	variables: ReadonlyMap<string, string>,
): { readonly text: string } | { readonly problem: string } {
	try {
		const { parts } = parse(source, 0, 0);
		return { text: written(parts, variables) };
	} catch (error) {
		if (error instanceof Fault) return { problem: error.message };
		throw error;
	}
}

/** The same for every text of a file, but its keys. Problems name their places. */
export function interpolateAll(node: Node, variables: ReadonlyMap<string, string>, problems: StackProblem[], path = ""): Node {
	if (typeof node === "string") {
		if (!node.includes("$")) return node;
		const result = interpolate(node, variables);
		if ("text" in result) return result.text;
		problems.push({ path: path === "" ? "the file" : path, message: result.problem });
		return null;
	}
	if (Array.isArray(node)) return node.map((item: Node, index) => interpolateAll(item, variables, problems, `${path}[${index}]`));
	if (!(node instanceof Map)) return node;
	const below = (key: string) => (path === "" ? key : `${path}.${key}`);
	return new Map([...node].map(([key, value]: readonly [string, Node]) => [key, interpolateAll(value, variables, problems, below(key))]));
}

/** The parts from a place on, up to the end, or within braces up to the one that closes them. */
function parse(source: string, from: number, depth: number): { readonly parts: readonly Part[]; readonly end: number } {
	if (depth > depthMax) throw new Fault(`has defaults within defaults more than ${depthMax} deep: write them out`);
	const parts: Part[] = [];
	let at = from;
	while (at < source.length && !(depth > 0 && source[at] === "}")) {
		const next = source.slice(at).search(depth > 0 ? /[$}]/ : /\$/);
		const stop = next < 0 ? source.length : at + next;
		if (stop > at) {
			parts.push(source.slice(at, stop));
			at = stop;
		} else if (source[at + 1] === "$") {
			parts.push("$");
			at += 2;
		} else if (source[at + 1] === "{") {
			const { part, end } = braced(source, at + 2, depth);
			parts.push(part);
			at = end;
		} else {
			const name = nameAt(source, at + 1);
			if (name === "") throw new Fault(`has a $ that begins no variable in ${shown(source)}: write $$ for a dollar`);
			parts.push({ name, operator: "", rest: [] });
			at += 1 + name.length;
		}
	}
	return { parts, end: at };
}

function braced(source: string, from: number, depth: number): { readonly part: Part; readonly end: number } {
	const name = nameAt(source, from);
	const [operator = ""] = /^:?[-?+]/.exec(source.slice(from + name.length, from + name.length + 2)) ?? [];
	const begin = from + name.length + operator.length;
	if (name === "" || (operator === "" && source[begin] !== "}"))
		throw new Fault(`has a variable that cannot be read in ${shown(source)}: write \${NAME}, or $$ for a dollar`);
	const { parts: rest, end } = operator === "" ? { parts: [], end: begin } : parse(source, begin, depth + 1);
	if (source[end] !== "}") throw new Fault(`has a \${ without its } in ${shown(source)}: close it, or write $$ for a dollar`);
	return { part: { name, operator, rest }, end: end + 1 };
}

const nameAt = (source: string, at: number): string => /^[A-Za-z_][A-Za-z0-9_]*/.exec(source.slice(at, at + 256))?.[0] ?? "";

function written(parts: readonly Part[], variables: ReadonlyMap<string, string>): string {
	return parts.map((part) => (typeof part === "string" ? part : valueFor(part, variables))).join("");
}

/** What is not taken is not looked at: a default may name what is not given. */
function valueFor({ name, operator, rest }: Exclude<Part, string>, variables: ReadonlyMap<string, string>): string {
	const found = variables.get(name);
	const isSet = found !== undefined && !(operator.startsWith(":") && found === "");
	if (operator.endsWith("+")) return isSet ? written(rest, variables) : "";
	if (isSet) return found;
	if (operator.endsWith("-")) return written(rest, variables);
	if (operator.endsWith("?")) throw new Fault(`needs the variable ${name}: ${written(rest, variables) || "give it in environment"}`);
	throw new Fault(`uses the variable ${name}, which is not given: give it in environment, or write \${${name}:-default}`);
}
