import * as v from "valibot";

/** Longest pattern accepted. */
const patternMax = 200;
const repetitionsMax = 3;
const alternativesMax = 8;
/** Ways that trying a pattern on a name may take at worst: some milliseconds, under the lock of a batch. */
const waysMax = 2_000_000;

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
	const { repeatsGroup, repetitions, alternatives } = structureOf(pattern);
	if (repeatsGroup) return "may not repeat a group";
	if (repetitions > repetitionsMax) return `may repeat at most ${repetitionsMax} times`;
	if (alternatives > alternativesMax) return `may hold at most ${alternativesMax} alternatives`;
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

/**
 * Whether a name is of the kind that the site expects (A14); without a pattern every name is. A name so long that trying the pattern on it could
 * take more than some milliseconds is not.
 */
export function nameIsFamiliar(pattern: string | null, name: string): boolean {
	if (pattern === null) return true;
	const { repetitions, alternatives, anchored } = structureOf(pattern);
	// Each repetition, and a start that is anywhere, can be tried at every letter.
	const ways = name.length ** (repetitions + (anchored ? 0 : 1)) * (alternatives + 1);
	return ways <= waysMax && new RegExp(pattern, "u").test(name);
}

/** Escapes and character classes stand for one character each; what is left of a pattern's signs is its structure. */
function structureOf(pattern: string) {
	const structure = pattern
		.replace(/\\(?:u\{[^}]*\}|[pP]\{[^}]*\}|.)/gu, "x")
		.replace(/\[[^\]]*\]/gu, "x")
		.replace(/\(\?(?:[:=!]|<[=!]|<\w+>)/gu, "(");
	return {
		repeatsGroup: /\)[*+?{]/.test(structure),
		repetitions: (structure.match(/[*+?]|\{/g) ?? []).length,
		alternatives: (structure.match(/\|/g) ?? []).length,
		anchored: structure.startsWith("^") && !structure.replace(/\([^()]*\)/g, "").includes("|"),
	};
}
