import { type Document, isScalar, LineCounter, parseDocument, visit } from "yaml";
import type { StackProblem } from "../engine/stack-check.ts";
import type { Node } from "./compose-at.ts";

/** Longest compose file, in characters: what it comes to has to fit into a command. */
export const composeCharactersMax = 131_072;
/** Deepest nesting: a compose file has some eight. */
const depthMax = 32;
/** Problems told of at once. */
const faultsMax = 20;
/** Most pieces of a file once its aliases are written out. */
const nodesMax = 50_000;

/**
 * Reads YAML 1.2 with merge keys, as Compose does: numbers, maps with text keys, one document. Duplicate keys, unknown tags, and aliases that
 * grow without measure are problems. Never throws, whatever the text is.
 */
export function readYaml(source: string): { readonly value: Node } | { readonly problems: readonly StackProblem[] } {
	if (source.length > composeCharactersMax)
		return whole(`has ${source.length} characters, and ${composeCharactersMax} are the most: make it shorter`);
	try {
		const lineCounter = new LineCounter();
		// The library compares each key with all before it: a map of twenty thousand would keep the server for seconds.
		const options = { merge: true, uniqueKeys: false, intAsBigInt: true, prettyErrors: true, logLevel: "silent", lineCounter } as const;
		const document = parseDocument(source, options);
		const faults = [...document.errors, ...document.warnings, ...repeatedKeys(document, lineCounter)];
		if (faults.length > 0) {
			// The library shows the lines around, which may hold secrets: only what is wrong and where.
			return {
				problems: faults.slice(0, faultsMax).map(({ message, linePos }) => ({
					path: linePos === undefined ? "the file" : `line ${linePos[0].line}, column ${linePos[0].col}`,
					message: `is no YAML that can be read: ${message.split(/ at line|\n/)[0]}`,
				})),
			};
		}
		return checked(document.toJS({ mapAsMap: true, maxAliasCount: 100 }));
	} catch (error) {
		return whole(`is no YAML that can be read: ${error instanceof RangeError ? "it is nested too deeply" : reason(error)}`);
	}
}

/** Keys that their map has before, one look at each. */
function repeatedKeys(
	document: Document.Parsed,
	lines: LineCounter,
): { readonly message: string; readonly linePos: [{ line: number; col: number }] }[] {
	const faults: ReturnType<typeof repeatedKeys> = [];
	visit(document, {
		Map(_, { items }) {
			const seen = new Set<unknown>();
			for (const { key } of items) {
				if (!isScalar(key)) continue;
				if (seen.has(key.value)) faults.push({ message: "Map keys must be unique", linePos: [lines.linePos(key.range?.[0] ?? 0)] });
				seen.add(key.value);
			}
			return faults.length < faultsMax ? undefined : visit.BREAK;
		},
	});
	return faults;
}

const reason = (error: unknown): string => (error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error)).slice(0, 200);

function whole(message: string): { readonly problems: readonly StackProblem[] } {
	return { problems: [{ path: "the file", message }] };
}

function checked(raw: unknown): ReturnType<typeof readYaml> {
	let nodes = 0;
	const problems: StackProblem[] = [];
	const walk = (value: unknown, path: string, depth: number): Node => {
		nodes++;
		if (depth > depthMax || nodes > nodesMax) return null;
		if (Array.isArray(value)) return value.map((item, index) => walk(item, `${path}[${index}]`, depth + 1));
		if (value instanceof Map) {
			const map = new Map<string, Node>();
			for (const [key, of] of value) {
				if (typeof key === "string") map.set(key, walk(of, path === "" ? key : `${path}.${key}`, depth + 1));
				else
					problems.push({
						path: path === "" ? "the file" : path,
						message: `has the key ${String(key).slice(0, 40)}, which is no text: quote it`,
					});
			}
			return map;
		}
		if (depth === depthMax) problems.push({ path, message: `is nested ${depthMax} deep: no compose file needs that` });
		if (typeof value === "string" || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean" || value === null)
			return value;
		problems.push({ path, message: "is neither text, number, truth value, list nor map: write it as text" });
		return null;
	};
	const value = walk(raw ?? null, "", 0);
	if (nodes > nodesMax) return whole(`comes to more than ${nodesMax} pieces once its aliases are written out: use fewer`);
	return problems.length > 0 ? { problems } : { value };
}
