import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { startScript } from "./graphiql-client.ts";
import { problem } from "./respond.ts";

/** Where the page's parts are. */
export const graphiqlPath = "/graphiql";

export interface GraphiQLOptions {
	readonly title: string;
	readonly defaultQuery: string;
}

interface Part {
	readonly type: string;
	readonly etag: string;
	readonly plain: Uint8Array<ArrayBuffer>;
	readonly zipped: Uint8Array<ArrayBuffer>;
}

/** Only what this server serves; styles are set by the editor at run time, its icons and fonts are data URLs. */
const pagePolicy = [
	"default-src 'none'",
	"script-src 'self'",
	"worker-src 'self'",
	"style-src 'self' 'unsafe-inline'",
	"font-src 'self' data:",
	"img-src 'self' data:",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
].join("; ");

const workersScript = `"use strict";
const workers = { editorWorkerService: "editor.worker.js", json: "json.worker.js", graphql: "graphql.worker.js" };
self.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (module, label) => "${graphiqlPath}/" + workers[label] };
`;

/** Serves GraphiQL from the npm package, without a byte from elsewhere. */
export interface GraphiQL {
	/** The page for a browser that asks for the GraphQL path itself. */
	page(): Response;
	/** A part of it; 404 for a name that is none. */
	part(request: Request, name: string): Promise<Response>;
}

/** Prepares it. The 9 MB package is loaded, and each part compressed, when a browser first asks; a server nobody browses pays nothing. */
export function createGraphiQL(options: GraphiQLOptions): GraphiQL {
	const html = pageHtml(options);
	const parts = new Map<string, Promise<Part>>();

	function load(name: PartName): Promise<Part> {
		const known = parts.get(name);
		if (known !== undefined) return known;
		const loading = makePart(name);
		parts.set(name, loading);
		loading.catch(() => parts.delete(name));
		return loading;
	}

	return {
		page: () =>
			new Response(html, {
				headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": pagePolicy, "cache-control": "no-cache" },
			}),
		async part(request, name) {
			if (!isPartName(name)) return problem(404, "NOT_FOUND", `There is nothing at ${graphiqlPath}/${name}`);
			const { type, etag, plain, zipped } = await load(name);
			const headers = { "content-type": type, "cache-control": "no-cache", etag, vary: "accept-encoding" };
			if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
			const takesGzip = request.headers.get("accept-encoding")?.includes("gzip") === true;
			const body = request.method === "HEAD" ? null : takesGzip ? zipped : plain;
			return new Response(body, { headers: takesGzip ? { ...headers, "content-encoding": "gzip" } : headers });
		},
	};
}

const partTypes = {
	"graphiql.js": "text/javascript; charset=utf-8",
	"graphiql.css": "text/css; charset=utf-8",
	"workers.js": "text/javascript; charset=utf-8",
	"start.js": "text/javascript; charset=utf-8",
	"editor.worker.js": "text/javascript; charset=utf-8",
	"json.worker.js": "text/javascript; charset=utf-8",
	"graphql.worker.js": "text/javascript; charset=utf-8",
	"favicon.ico": "image/x-icon",
} as const;
type PartName = keyof typeof partTypes;

function isPartName(name: string): name is PartName {
	return Object.hasOwn(partTypes, name);
}

async function makePart(name: PartName): Promise<Part> {
	const plain = await partBytes(name);
	const zipped = new Uint8Array(await promisify(gzip)(plain));
	const etag = `"${createHash("sha256").update(plain).digest("hex").slice(0, 32)}"`;
	return { type: partTypes[name], etag, plain, zipped };
}

async function partBytes(name: PartName): Promise<Uint8Array<ArrayBuffer>> {
	const encode = (text: string) => new TextEncoder().encode(text);
	if (name === "start.js") return encode(startScript);
	if (name === "workers.js") return encode(workersScript);
	const packaged = await import("@graphql-yoga/render-graphiql/graphiql");
	switch (name) {
		case "graphiql.js":
			return encode(packaged.js);
		case "graphiql.css":
			return encode(packaged.css);
		case "editor.worker.js":
			return encode(packaged.editorWorkerService);
		case "json.worker.js":
			return encode(packaged.jsonWorker);
		case "graphql.worker.js":
			return encode(packaged.graphqlWorker);
		case "favicon.ico":
			return new Uint8Array(Buffer.from(packaged.favicon.slice(packaged.favicon.indexOf(",") + 1), "base64"));
	}
}

function pageHtml({ title, defaultQuery }: GraphiQLOptions): string {
	const escaped = title.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
	// The token in the headers editor is for this visit only; GraphiQL would keep it in the browser's storage.
	const settings = { title: escaped, defaultQuery, shouldPersistHeaders: false };
	const part = (name: PartName) => `${graphiqlPath}/${name}`;
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${escaped}</title>
<link rel="icon" href="${part("favicon.ico")}">
<link rel="stylesheet" href="${part("graphiql.css")}">
</head>
<body id="body" class="no-focus-outline">
<noscript>GraphiQL needs JavaScript</noscript>
<div id="root"></div>
<script type="application/json" id="settings">${JSON.stringify(settings).replaceAll("<", "\\u003c")}</script>
<script src="${part("workers.js")}"></script>
<script src="${part("graphiql.js")}"></script>
<script src="${part("start.js")}"></script>
</body>
</html>
`;
}
