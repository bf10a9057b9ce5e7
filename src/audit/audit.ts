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

/** The words of a search, in lower case, letters and digits only: nothing in them means something to PostgreSQL. Pure. */
export function searchWords(search: string): readonly string[] {
	const words = search
		.slice(0, 500)
		.toLowerCase()
		.split(/[^\p{L}\p{N}]+/u);
	return words.filter((word) => word !== "").slice(0, searchWordsMax);
}
