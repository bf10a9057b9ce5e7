/** Chromium for the tests of pages: it talks to the server under test and to nobody else. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { ensureDashboard } from "../../scripts/build-dashboard.ts";
import { testMs } from "./support.ts";

const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** Whether there is one on this machine. */
export const hasBrowser: boolean = browserPath !== undefined;
/** Chromium on its own talks to its maker; it shall not, and no name but the server's address resolves. */
const flags = [
	"--no-sandbox",
	"--disable-gpu",
	"--disable-dev-shm-usage",
	"--disable-background-networking",
	"--no-first-run",
	"--disable-component-update",
	"--disable-sync",
	"--enable-precise-memory-info",
	"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** Opens it, with the dashboard built. */
export async function launch(): Promise<Browser> {
	await ensureDashboard();
	return chromium.launch({ ...(browserPath === undefined ? {} : { executablePath: browserPath }), args: flags, timeout: testMs / 3 });
}

export interface Visit extends AsyncDisposable {
	readonly context: BrowserContext;
	readonly page: Page;
	/** What went wrong in the page: uncaught errors, and what its policy forbade. */
	readonly faults: string[];
	/** Every address it asked for, sockets included. */
	readonly asked: string[];
}

/** A window of its own on the dashboard at `url`. */
export async function visit(
	browser: Browser,
	url: string,
	options: { readonly width?: number; readonly height?: number; readonly dark?: boolean } = {},
): Promise<Visit> {
	const context = await browser.newContext({
		viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
		colorScheme: options.dark === true ? "dark" : "light",
		permissions: ["clipboard-read", "clipboard-write"],
		reducedMotion: "reduce",
	});
	context.setDefaultTimeout(testMs / 3);
	const page = await context.newPage();
	const faults: string[] = [];
	const asked: string[] = [];
	page.on("pageerror", (error) => faults.push(error.message));
	page.on("console", (message) => {
		if (message.type() === "error" && /Content Security Policy|TrustedHTML|Uncaught/i.test(message.text())) faults.push(message.text());
	});
	context.on("request", (request) => asked.push(request.url()));
	page.on("websocket", (socket) => asked.push(socket.url()));
	await page.goto(url);
	return { context, page, faults, asked, [Symbol.asyncDispose]: () => context.close() };
}

/** Types a token into the sign-in. */
export async function signIn(page: Page, token: string): Promise<void> {
	await page.getByLabel("Admin token").fill(token);
	await page.getByRole("button", { name: "Sign in", exact: true }).click();
	await page.getByRole("navigation", { name: "Main" }).waitFor();
}

/** The row of a host in the list. */
export function rowOf(page: Page, name: string) {
	return page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe calls serious or critical on what is shown. Run through the debugger, which the page's policy does not bind. */
export async function seriousFaults(page: Page): Promise<readonly string[]> {
	await page.evaluate(axe);
	const { violations } = await page.evaluate(() =>
		(
			globalThis as unknown as {
				axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> };
			}
		).axe.run(),
	);
	return violations
		.filter(({ impact }) => impact === "serious" || impact === "critical")
		.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary.slice(0, 300)}`));
}

/** Whether nothing is wider than the window. */
export function fitsWindow(page: Page): Promise<boolean> {
	return page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
}

/** A picture of the whole page, kept only where MUSTER_SCREENSHOT_DIR says. */
export async function picture(page: Page, name: string): Promise<number> {
	const dir = process.env["MUSTER_SCREENSHOT_DIR"];
	return (await page.screenshot({ fullPage: true, ...(dir === undefined ? {} : { path: `${dir}/${name}.png` }) })).length;
}
