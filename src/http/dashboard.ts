/** The dashboard at `/`: a page without a byte of script in it, and the hashed files that `npm run build:dashboard` left. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { problem } from "./respond.ts";

export interface DashboardOptions {
	/** Where the build lies: its files and `manifest.json`. */
	readonly dir: string;
	/** People sign in there, when it is configured for pages. */
	readonly oidc: { readonly issuer: string; readonly audience: string; readonly clientId: string | undefined } | undefined;
}

const path = "/assets/";
/** A hashed file never changes. */
const forever = "public, max-age=31536000, immutable";
const types: Readonly<Record<string, string>> = {
	js: "text/javascript; charset=utf-8",
	css: "text/css; charset=utf-8",
	svg: "image/svg+xml",
};
const manifestShape = v.object({
	script: v.string(),
	style: v.string(),
	icon: v.string(),
});

interface Page {
	readonly html: string;
	readonly etag: string;
}

/** Answers `/` and `/assets/…`; undefined for other paths. A build that comes later is found without a restart. */
export function createDashboard(options: DashboardOptions): (request: Request, pathname: string) => Promise<Response> | undefined {
	const policy = pagePolicy(options.oidc);
	let built: { readonly at: number; readonly page: Page } | undefined;

	async function load(): Promise<Page | undefined> {
		const file = join(options.dir, "manifest.json");
		const at = await stat(file).then(
			({ mtimeMs }) => mtimeMs,
			() => undefined,
		);
		if (at === undefined) return undefined;
		if (built?.at !== at) {
			const html = pageHtml(v.parse(manifestShape, JSON.parse(await readFile(file, "utf8"))), options.oidc);
			built = { at, page: { html, etag: `"${createHash("sha256").update(html).digest("hex").slice(0, 32)}"` } };
		}
		return built.page;
	}

	async function page(request: Request): Promise<Response> {
		const found = await load();
		if (found === undefined) {
			return problem(503, "SERVICE_UNAVAILABLE", "The dashboard was not built: run npm run build:dashboard; GraphQL is at /graphql");
		}
		const headers = {
			"content-type": "text/html; charset=utf-8",
			"content-security-policy": policy,
			"cache-control": "no-cache",
			etag: found.etag,
		};
		if (request.headers.get("if-none-match") === found.etag) return new Response(null, { status: 304, headers });
		return new Response(request.method === "HEAD" ? null : found.html, { headers });
	}

	async function asset(request: Request, name: string): Promise<Response> {
		const type = /^[a-z]+-[a-z0-9]+\.(js|css|svg)$/.exec(name)?.[1];
		const zips = request.headers.get("accept-encoding")?.includes("gzip") === true;
		const bytes = type === undefined ? undefined : await readFile(join(options.dir, zips ? `${name}.gz` : name)).catch(() => undefined);
		if (type === undefined || bytes === undefined) {
			return problem(404, "NOT_FOUND", `There is no ${path}${name.slice(0, 100)} in this build of the dashboard: load the page again`);
		}
		const headers = {
			"content-type": types[type] ?? "",
			"cache-control": forever,
			vary: "accept-encoding",
			...(zips ? { "content-encoding": "gzip" } : {}),
		};
		return new Response(request.method === "HEAD" ? null : new Uint8Array(bytes), { headers });
	}

	async function readOnly(request: Request, answer: (request: Request) => Promise<Response>): Promise<Response> {
		if (request.method === "GET" || request.method === "HEAD") return answer(request);
		return problem(405, "METHOD_NOT_ALLOWED", "The dashboard is asked for with GET; GraphQL is at /graphql", { allow: "GET, HEAD" });
	}

	return (request, pathname) => {
		if (pathname === "/") return readOnly(request, page);
		if (pathname.startsWith(path)) return readOnly(request, (asked) => asset(asked, pathname.slice(path.length)));
		return undefined;
	};
}

/** Only what this server serves; the page talks to it and, for signing in, to the issuer. */
function pagePolicy(oidc: DashboardOptions["oidc"]): string {
	const issuer = oidc?.clientId === undefined ? "" : ` ${new URL(oidc.issuer).origin}`;
	return [
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		`connect-src 'self'${issuer}`,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	].join("; ");
}

/** Every address in it is relative, so that it works below a prefix that a proxy takes off. */
function pageHtml(files: v.InferOutput<typeof manifestShape>, oidc: DashboardOptions["oidc"]): string {
	const signIn =
		oidc?.clientId === undefined
			? ""
			: `<meta name="muster-oidc" content="${escaped(JSON.stringify({ issuer: oidc.issuer, audience: oidc.audience, clientId: oidc.clientId }))}">\n`;
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${signIn}<title>Muster</title>
<link rel="icon" type="image/svg+xml" href="assets/${files.icon}">
<link rel="stylesheet" href="assets/${files.style}">
<script type="module" src="assets/${files.script}"></script>
</head>
<body>
<noscript>The dashboard needs JavaScript. The API is at graphql.</noscript>
<div id="app"></div>
</body>
</html>
`;
}

function escaped(text: string): string {
	return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
