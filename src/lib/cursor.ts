/** An opaque page cursor: base64url of the row's place in its order. Clients hand it back, nothing else. */
export function encodeCursor(place: string): string {
	return Buffer.from(place, "utf8").toString("base64url");
}

/** The place a cursor stands for; undefined when the text is no cursor of ours. */
export function decodeCursor(cursor: string): string | undefined {
	if (!/^[A-Za-z0-9_-]{1,400}$/.test(cursor)) return undefined;
	const place = Buffer.from(cursor, "base64url").toString("utf8");
	return encodeCursor(place) === cursor ? place : undefined;
}
