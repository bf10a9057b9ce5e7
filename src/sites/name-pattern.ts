import * as v from "valibot";

/** Longest pattern accepted. */
const patternMax = 200;
/** With names of at most 253 characters this many repetitions try some ten million ways at worst, tens of milliseconds. */
const repetitionsMax = 3;
const alternativesMax = 8;

/**
 * Says what is wrong with a worker name pattern, undefined when it can be used: a regular expression, found anywhere in the name
 * unless anchored. The engine backtracks and the name comes from outside, so what can take exponential time is refused: repeated
 * groups, back references, more than a few repetitions or alternatives.
 */
export function patternProblem(pattern: string): string | undefined {
	if (pattern.length === 0 || pattern.length > patternMax) return `must have 1 to ${patternMax} characters`;
	try {
		new RegExp(pattern, "u");
	} catch (error) {
		return `is no regular expression: ${error instanceof Error ? error.message : String(error)}`;
	}
	if (/\\[1-9k]/.test(pattern)) return "may not use back references";
	// Escapes and character classes stand for one character each; what is left of the pattern's signs is its structure.
	const structure = pattern
		.replace(/\\(?:u\{[^}]*\}|[pP]\{[^}]*\}|.)/gu, "x")
		.replace(/\[[^\]]*\]/gu, "x")
		.replace(/\(\?(?:[:=!]|<[=!]|<\w+>)/gu, "(");
	if (/\)[*+?{]/.test(structure)) return "may not repeat a group";
	if ((structure.match(/[*+?]|\{/g) ?? []).length > repetitionsMax) return `may repeat at most ${repetitionsMax} times`;
	if ((structure.match(/\|/g) ?? []).length > alternativesMax) return `may hold at most ${alternativesMax} alternatives`;
	return undefined;
}

/** A pattern as an admin gives it. */
export const patternField = v.pipe(
	v.string(),
	v.check(
		(pattern) => patternProblem(pattern) === undefined,
		(issue) => `"${String(issue.input)}" ${patternProblem(String(issue.input))}`,
	),
);

/** Whether a name is of the kind that the site expects (A14); without a pattern every name is. */
export function nameIsFamiliar(pattern: string | null, name: string): boolean {
	return pattern === null || new RegExp(pattern, "u").test(name);
}
