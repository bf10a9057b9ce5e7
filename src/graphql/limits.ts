import { MusterError } from "../errors.ts";

/** What one operation may ask for. A dashboard's largest query is about a tenth of it. */
export const limits = {
	/** Fields, counted once for each row of a page. */
	complexity: 20_000,
	depth: 12,
	/** Fields as they stand in the document: all fields of every type of node once are about 430. */
	breadth: 600,
	/** Rows of one page. */
	pageMax: 200,
	pageDefault: 50,
} as const;

/** The error for an operation past a limit: names the limit and what it measured. */
export function tooExpensive(
	kind: string,
	result: { readonly complexity: number; readonly depth: number; readonly breadth: number },
): MusterError {
	const name = kind.toLowerCase().replace("max", "") as "complexity" | "depth" | "breadth";
	const measured = result[name] ?? result.complexity;
	return new MusterError(
		"BAD_USER_INPUT",
		`The operation's ${name} is ${measured}, more than ${limits[name]}: ask for fewer fields or smaller pages`,
	);
}
