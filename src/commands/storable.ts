/** Text that PostgreSQL takes: without NUL and halves of characters, cut to `max` characters. */
export function storableText(text: string, max: number): string {
	return text.slice(0, max).replaceAll("\0", "\ufffd").toWellFormed();
}

/** JSON that PostgreSQL takes as jsonb: what containers print may hold NUL and halves of characters, which are replaced. Pure. */
export function storable(value: unknown): unknown {
	if (typeof value === "string") return storableText(value, Number.MAX_SAFE_INTEGER);
	if (Array.isArray(value)) return value.map(storable);
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storableText(name, Number.MAX_SAFE_INTEGER), storable(inner)]));
}
