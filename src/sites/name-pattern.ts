/** Longest pattern accepted: with names of at most 253 characters a match stays cheap. */
const patternMax = 200;

/**
 * Says what is wrong with a worker name pattern, undefined when it can be used: a regular expression, found anywhere in the name
 * unless anchored. Repeated groups that repeat inside, and back references, are refused: they can take exponential time.
 */
export function patternProblem(pattern: string): string | undefined {
	if (pattern.length === 0 || pattern.length > patternMax) return `must have 1 to ${patternMax} characters`;
	if (/\([^)]*[+*}][^)]*\)[+*{]/.test(pattern) || /\\[1-9k]/.test(pattern))
		return "may not repeat a group that repeats inside, nor use back references";
	try {
		new RegExp(pattern, "u");
		return undefined;
	} catch (error) {
		return `is no regular expression: ${error instanceof Error ? error.message : String(error)}`;
	}
}

/** Whether a name is of the kind that the site expects (A14); without a pattern every name is. */
export function nameIsFamiliar(pattern: string | null, name: string): boolean {
	return pattern === null || new RegExp(pattern, "u").test(name);
}
