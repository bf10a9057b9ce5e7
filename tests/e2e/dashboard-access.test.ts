/** Who may do what on the dashboard, how people sign in, and what the page gives away. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { graphql } from "../support/muster.ts";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { asAdmin } from "../support/muster.ts";
import { root, runtimeNames } from "../support/runtimes.ts";
import { hasBrowser, launch, rowOf, signIn, visit } from "./browser.ts";
import { startProvider } from "./oidc-provider.ts";
import { Fleet, testMs } from "./support.ts";

const jwtSecret = "the tests' own secret, more than 32 characters";
const audience = "https://muster.example.net";

/** What is offered nowhere to a viewer. */
const adminWords = [
	"Add a host",
	"New site",
	"New enrollment key",
	"Rotate the key",
	"New install line",
	"Revoke worker",
	"Delete",
	"New webhook",
	"Send a test",
	"Deploy a stack",
];

describe.skipIf(!hasBrowser).each([...runtimeNames])("the dashboard on %s (needs chromium)", (runtime) => {
	let fleet: Fleet;
	let browser: Browser;
	let provider: Awaited<ReturnType<typeof startProvider>>;
	let hostId: string;
	beforeAll(async () => {
		provider = await startProvider({ id: "muster-dashboard", audience, role: "operator" });
		const oidc = { MUSTER_OIDC_ISSUER: provider.issuer, MUSTER_OIDC_AUDIENCE: audience, MUSTER_OIDC_CLIENT_ID: "muster-dashboard" };
		fleet = await Fleet.start({ runtime, env: { MUSTER_JWT_SECRET: jwtSecret, MUSTER_WEBHOOK_PRIVATE_ADDRESSES: "on", ...oidc } });
		browser = await launch();
		await fleet.site("yard");
		await asAdmin(fleet.server, 'mutation { createWebhook(input: { url: "http://127.0.0.1:9/a-token-in-its-path" }) { webhook { id } } }');
		const { createHost } = await asAdmin(
			fleet.server,
			'mutation { createHost(input: { name: "edge-1", siteCode: "yard" }) { host { id } } }',
		);
		hostId = createHost.host.id;
	}, testMs);
	afterAll(async () => {
		await browser.close();
		await fleet[Symbol.asyncDispose]();
		await provider[Symbol.asyncDispose]();
	}, testMs);
	const tokenOf = (role: "viewer" | "operator") =>
		mintAdminToken(new Secret(jwtSecret), systemClock, { role, tenant: "default", subject: role, hours: 1 });

	test(
		"S10: a viewer's page offers nothing that changes anything, and no request with a viewer's token does what an admin's page can ask for",
		async () => {
			const token = await tokenOf("viewer");
			await using window = await visit(browser, `${fleet.server.url}/#/hosts`);
			const { page } = window;
			await signIn(page, token);
			for (const place of ["#/", "#/hosts", `#/hosts/${hostId}`, "#/sites", "#/mesh", "#/claims", "#/alerts", "#/webhooks", "#/audit"]) {
				await page.evaluate((hash) => (location.hash = hash), place);
				await page.getByRole("heading", { level: 1 }).waitFor();
				await page.waitForLoadState("networkidle");
				for (const word of adminWords) expect([place, word, await page.getByText(word, { exact: true }).count()]).toEqual([place, word, 0]);
			}
			await page.evaluate(() => (location.hash = "#/webhooks"));
			await page.getByRole("region", { name: "http://127.0.0.1:9/…" }).waitFor();
			expect(await page.content()).not.toContain("a-token-in-its-path");
			await page.evaluate(() => (location.hash = "#/hosts/add"));
			await page.getByText("Adding hosts needs the role admin").waitFor();
			const mutations = await mutationsOf(hostId);
			expect(mutations.length).toBeGreaterThan(20);
			for (const [query, variables] of mutations) {
				const reply = await graphql(fleet.server, query, variables, { authorization: `Bearer ${token}` });
				expect([query, reply.errors[0]?.extensions?.["code"]]).toEqual([query, "FORBIDDEN"]);
			}
		},
		testMs,
	);

	test(
		"A15: signing in with the issuer (code flow with PKCE) leads back to the page, with the role of the account, and nothing of it stays in the address",
		async () => {
			await using window = await visit(browser, `${fleet.server.url}/#/hosts?state=PENDING`);
			const { page } = window;
			await page.getByRole("button", { name: /^Sign in with/ }).click();
			await rowOf(page, "edge-1").waitFor();

			expect(await page.getByRole("navigation").textContent()).toContain("operator · default");
			expect(page.url()).toBe(`${fleet.server.url}/#/hosts?state=PENDING`);
			const asked = provider.asked.at(-1);
			expect(Object.fromEntries(asked ?? [])).toMatchObject({
				response_type: "code",
				code_challenge_method: "S256",
				client_id: "muster-dashboard",
			});
			expect(asked?.has("client_secret")).toBe(false);
			expect(await page.getByText("Add a host").count()).toBe(0);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"A15: an ID token of another sign-in (another nonce) signs nobody in",
		async () => {
			provider.mistakeNonce("of-another-sign-in");
			await using window = await visit(browser, `${fleet.server.url}/#/hosts`);
			const { page } = window;
			await page.getByRole("button", { name: /^Sign in with/ }).click();
			await page.getByText("belongs to another sign-in").waitFor();
			expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
			await page.getByRole("button", { name: /^Sign in with/ }).click();
			await rowOf(page, "edge-1").waitFor();
			expect(provider.asked.at(-1)?.get("nonce")).toMatch(/^[A-Za-z0-9_-]{43}$/);
		},
		testMs,
	);

	test(
		"A15: an answer of the issuer to a sign-in that was not begun in this window is refused, and its code is not used",
		async () => {
			const before = provider.traded();
			await using window = await visit(browser, `${fleet.server.url}/?code=somebody-elses&state=made-up`);
			await window.page.getByText("This sign-in was not begun here").waitFor();
			expect(provider.traded()).toBe(before);
			expect(window.page.url()).not.toContain("somebody-elses");
		},
		testMs,
	);

	test(
		"S12: below a path prefix of a proxy the page loads, signs in and is live; it asks no other host for anything, and the token is in no address",
		async () => {
			await using proxy = await Prefix.before(fleet.server.url);
			const token = fleet.server.adminToken;
			await using window = await visit(browser, `${proxy.url}/tools/muster/`);
			const { page } = window;
			await signIn(page, token);
			await page.getByRole("link", { name: "Hosts", exact: true }).click();
			await rowOf(page, "edge-1").waitFor();
			const name = `prefixed-${runtime}`;
			await asAdmin(fleet.server, "mutation ($input: CreateHostInput!) { createHost(input: $input) { host { id } } }", { input: { name } });
			await rowOf(page, name).waitFor();
			await page.getByRole("link", { name: "Webhooks", exact: true }).click();
			await page.getByRole("button", { name: /^Send a test/ }).waitFor();
			await page.getByRole("link", { name: "Mesh", exact: true }).click();
			await page.getByText("No mesh is configured").waitFor();

			const { host } = new URL(proxy.url);
			expect(
				window.asked.filter((address) => new URL(address).host !== host || !new URL(address).pathname.startsWith("/tools/muster/")),
			).toEqual([]);
			expect(window.asked).toContain(`ws://${host}/tools/muster/graphql`);
			expect(window.asked.filter((address) => address.includes(token))).toEqual([]);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test("S12: the page's policy allows no script but the server's own files, those are cached for good, and the page is asked for each time", async () => {
		const page = await fetch(`${fleet.server.url}/`);
		const html = await page.text();
		const policy = page.headers.get("content-security-policy") ?? "";
		expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
		expect(policy).toContain(`connect-src 'self' ${provider.issuer};`);
		expect(policy).not.toContain("unsafe");
		expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|https?:\/\/(?!127\.0\.0\.1|muster\.example)/);
		expect(page.headers.get("cache-control")).toBe("no-cache");
		const again = await fetch(`${fleet.server.url}/`, { headers: { "if-none-match": page.headers.get("etag") ?? "" } });
		expect(again.status).toBe(304);
		const files = [...html.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)].map((match) => match[1]);
		expect(files).toHaveLength(3);
		for (const file of files) {
			const asset = await fetch(`${fleet.server.url}/${file}`);
			expect(asset.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
			expect(asset.headers.get("content-encoding")).toBe("gzip");
		}
		for (const wrong of ["assets/manifest.json", "assets/..%2fmanifest.json", "assets/main-000000000000.js"]) {
			expect((await fetch(`${fleet.server.url}/${wrong}`)).status).toBe(404);
		}
		expect((await fetch(`${fleet.server.url}/`, { method: "POST" })).status).toBe(405);
	});
});

/** Every mutation that an admin's page can send, as it sends it, filled in so that only the role is in the way. */
async function mutationsOf(hostId: string): Promise<readonly (readonly [string, object])[]> {
	const folder = join(root, "dashboard", "operations");
	const modules = await Promise.all(readdirSync(folder).map((name) => import(join(folder, name)) as Promise<Record<string, unknown>>));
	const documents = modules
		.flatMap((module) => Object.values(module).map(String))
		.filter((text) => text.trimStart().startsWith("mutation"));
	const [id, container] = [{ id: hostId }, { input: { hostId, container: "any" } }];
	const filled: Readonly<Record<string, object>> = {
		CreateHost: { input: { name: "mine" } },
		CreateSite: { input: { code: "mine" } },
		CreateKey: { input: { name: "mine", siteCode: "yard" } },
		Rotate: { siteCode: "yard" },
		Settle: { workerId: hostId, verdict: "BAN" },
		Exec: { input: { hostId, container: "any", command: ["id"] } },
		Input: { id: hostId, data: "" },
		KeyLine: { input: { name: "mine", siteCode: "yard", workerName: "mine" } },
		DeployStack: { input: { hostId, name: "mine", compose: "services: { web: { image: any } }" } },
		ScaleStack: { input: { hostId, name: "mine", service: "web", replicas: 2 } },
		CreateWebhook: { input: { url: "https://hooks.example.net/" } },
		...Object.fromEntries(["RedeployStack", "RemoveStack"].map((name) => [name, { input: { hostId, name: "mine" } }])),
		...Object.fromEntries(["Logs", "Start", "Stop", "Restart", "Remove"].map((name) => [name, container])),
	};
	return documents.map((text) => [text, filled[/mutation (\w+)/.exec(text)?.[1] ?? ""] ?? id]);
}

/** A proxy that serves the server below /tools/muster and takes that off, as nginx does. */
class Prefix implements AsyncDisposable {
	readonly #server: Server;
	private constructor(server: Server) {
		this.#server = server;
	}

	static async before(target: string): Promise<Prefix> {
		const { hostname, port } = new URL(target);
		const inner = (path = "") => path.replace(/^\/tools\/muster/, "");
		const server = createServer((request, response) => {
			if (!request.url?.startsWith("/tools/muster/")) {
				response.writeHead(404).end();
				return;
			}
			const onward = httpRequest(
				{ hostname, port, path: inner(request.url), method: request.method, headers: request.headers },
				(reply) => {
					response.writeHead(reply.statusCode ?? 502, reply.headers);
					reply.pipe(response);
				},
			);
			onward.on("error", () => response.destroy());
			request.pipe(onward);
		});
		server.on("upgrade", (request, near) => {
			const far = connect(Number(port), hostname, () => {
				const lines = request.rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${request.rawHeaders[index + 1]}`] : []));
				far.write(`GET ${inner(request.url)} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
				far.pipe(near).pipe(far);
			});
			far.on("error", () => near.destroy());
			near.on("error", () => far.destroy());
		});
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		return new Prefix(server);
	}

	get url(): string {
		const address = this.#server.address();
		return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.closeAllConnections();
		this.#server.close();
	}
}
