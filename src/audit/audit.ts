/** One line of the audit log. The detail never holds a secret. */
export interface AuditRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly at: number;
	/** Who: `operator:alice`, `worker:wrk_…`, `source:192.0.2.7`, `server`. */
	readonly actor: string;
	/** What, as `noun.verb`: `site_key.rotated`, `enrollment.admitted`. */
	readonly action: string;
	/** The id of what it was done to. */
	readonly subject: string;
	readonly detail: Readonly<Record<string, unknown>> | null;
}

/** What a blank separates in a search: it is found whole, or by its words. */
export interface SearchTerm {
	/** As it was typed, in lower case, and less who is meant in an actor ("source:"): found at the beginning of a name, an id or an address. None where that is its word. */
	readonly whole: readonly string[];
	/** Found at the beginning of words, all of them. */
	readonly words: readonly string[];
}

/** Most words of a search that count: more find nothing more. */
const searchWordsMax = 16;

/**
 * The terms of a search: ASCII letters in lower case. ASCII alone tells where a word ends, as in the index, whatever the database's locale. What has no
 * letter or figure in it is left out. Pure.
 */
export function searchTerms(search: string): readonly SearchTerm[] {
	const plain = search
		.slice(0, 500)
		.toWellFormed()
		.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
		.replace(/\p{Cc}+/gu, " ");
	const terms: SearchTerm[] = [];
	let room = searchWordsMax;
	for (const typed of plain.split(" ")) {
		const words = (typed.match(/[a-z0-9\u{80}-\u{10ffff}]+/gu) ?? []).slice(0, room);
		room -= words.length;
		const whole = [typed, typed.replace(/^source:(?=.)/, "")].filter((text, at, all) => all.indexOf(text) === at && text !== words[0]);
		if (words.length > 0) terms.push({ whole, words });
	}
	return terms;
}
