/** The two forms in which a server's GraphQL endpoint is called. */
export interface Endpoint {
	/** `http(s)://…/graphql` */
	readonly http: string;
	/** `ws(s)://…/graphql` */
	readonly ws: string;
	/** The HTTP proxy that leads there, `http://host:port`: that of a mesh client which gives this host no route. Absent: straight. */
	readonly proxy?: string;
}

/**
 * Reads a server address: `http(s)://host[:port][/path]`, `ws(s)://…` or a bare `host[:port]`, which means plain HTTP, as on a mesh.
 * `/graphql` is added unless the path ends with it. Undefined when it is none of these, or carries a user, a query or a fragment.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
	const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
	if (/\s/.test(full) || !URL.canParse(full)) return undefined;
	const url = new URL(full);
	const scheme = { "http:": "", "ws:": "", "https:": "s", "wss:": "s" }[url.protocol];
	if (scheme === undefined || url.hostname === "" || url.username !== "" || url.password !== "") return undefined;
	if (url.search !== "" || url.hash !== "") return undefined;
	const path = url.pathname.replace(/\/+$/, "");
	const rest = `://${url.host}${path.endsWith("/graphql") ? path : `${path}/graphql`}`;
	return { http: `http${scheme}${rest}`, ws: `ws${scheme}${rest}` };
}
