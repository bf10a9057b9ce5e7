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

/** Most words of a search that count: more find nothing more. */
const searchWordsMax = 16;

/**
 * The words of a search: ASCII letters in lower case, and nothing that means something to PostgreSQL in them. ASCII alone tells where a word ends, as in
 * the index, whatever the database's locale. Pure.
 */
export function searchWords(search: string): readonly string[] {
	const plain = search
		.slice(0, 500)
		.toWellFormed()
		.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
	return (plain.match(/[a-z0-9\u{80}-\u{10ffff}]+/gu) ?? []).slice(0, searchWordsMax);
}
