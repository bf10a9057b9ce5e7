/** Text without control characters and lone surrogates. PostgreSQL stores neither NUL nor half a character, and a line feed would split the HMAC transcript. */
export const plainText = /^[^\p{Cc}\p{Cs}]*$/u;

/** The text with control characters made visible, cut to `max` characters: for recording what somebody malformed sent. */
export function madePlain(text: string, max: number): string {
	return text
		.slice(0, max)
		.toWellFormed()
		.replace(/\p{Cc}/gu, "\ufffd");
}
