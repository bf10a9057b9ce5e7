// Visible ASCII, blanks inside only: fetch strips outer blanks, refuses line feeds and whatever is beyond Latin-1, and proxies differ on the rest.
const carried = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** Whether a text arrives in an HTTP header as it was sent: an id or a key that does not would work over the socket and fail over HTTP. */
export function fitsHeader(text: string): boolean {
	return carried.test(text);
}
