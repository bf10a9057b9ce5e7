/** Replies that every route shares. */

const common: Readonly<Record<string, string>> = {
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
	"x-frame-options": "DENY",
	"cross-origin-resource-policy": "same-origin",
};

/** For everything that is not a page: a browser that is tricked into showing it runs nothing. */
const closedPolicy = "default-src 'none'; frame-ancestors 'none'";

/** The headers that `harden` puts on a reply without a policy of its own, for whoever makes one with them and adds to them: that is cheaper. */
export function hardHeaders(requestId: string): Record<string, string> {
	return { ...common, "content-security-policy": closedPolicy, "x-request-id": requestId };
}

/** Puts the security headers and the request id on a reply; a policy of its own stays. */
export function harden(response: Response, requestId: string): Response {
	if (response.headers.get("x-request-id") === requestId) return response;
	for (const [name, value] of Object.entries(common)) response.headers.set(name, value);
	if (!response.headers.has("content-security-policy")) response.headers.set("content-security-policy", closedPolicy);
	response.headers.set("x-request-id", requestId);
	return response;
}

/** An error outside GraphQL's own, in the shape of a GraphQL reply, so that every client can read it. */
export function problem(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}): Response {
	return Response.json({ errors: [{ message, extensions: { code } }] }, { status, headers });
}

/** The same body under another status and with more headers; a stream stays a stream. */
export function restated(response: Response, status: number, headers: Readonly<Record<string, string>>): Response {
	const changed = new Response(response.body, { status, headers: response.headers });
	for (const [name, value] of Object.entries(headers)) changed.headers.set(name, value);
	return changed;
}
