/** GraphiQL in a real browser against a real server with a real worker: it works without a byte from anywhere else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { Fleet, soon, testMs } from "./support.ts";

const browserPath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const subscription = "subscription Beats { heartbeat { name at uptimeSeconds } }";
const site = "harbour";
/** Chromium on its own talks to its maker; it shall not, and no name but the server's address resolves. */
const flags = [
	"--no-sandbox",
	"--disable-gpu",
	"--disable-dev-shm-usage",
	"--disable-background-networking",
	"--no-first-run",
	"--disable-component-update",
	"--disable-sync",
	"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

if (browserPath === undefined) {
	test.skip("G1: GraphiQL in a browser (skipped: no chromium is installed, on Debian: apt-get install chromium)", () => {});
} else {
	let browser: Browser;
	beforeAll(async () => {
		browser = await chromium.launch({ executablePath: browserPath, args: flags, timeout: testMs / 3 });
	}, testMs);
	afterAll(() => browser.close());

	describe.each([...runtimeNames])("on %s", (runtime) => {
		test(
			"G1: GraphiQL shows a live heartbeat with the token from its headers editor, and asks no other host for anything",
			async () => {
				await using fleet = await Fleet.start({ runtime });
				using machine = new Machine();
				const key = await fleet.site(site);
				await using worker = await runWorker(machine, [], fleet.settings(site, key));
				await soon("the connection", worker.line("worker.connected"));
				const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
				try {
					const page = await context.newPage();
					const asked = recordRequests(page);
					const faults: string[] = [];
					page.on("pageerror", (error) => faults.push(error.message));
					await page.goto(`${fleet.server.url}/graphql`);

					await write(page, ".graphiql-query-editor", subscription);
					await page.getByRole("button", { name: "Headers", exact: true }).click();
					await write(page, ".graphiql-editor-tool", JSON.stringify({ authorization: `Bearer ${fleet.server.adminToken}` }));
					await page.getByRole("button", { name: /^execute query/i }).click();

					const response = page.locator(".graphiql-response");
					await response
						.getByText("edge-1")
						.first()
						.waitFor({ timeout: testMs / 3 });
					if (process.env.MUSTER_SCREENSHOT_DIR !== undefined)
						await page.screenshot({ path: `${process.env.MUSTER_SCREENSHOT_DIR}/graphiql-${runtime}.png` });
					expect(await response.textContent()).toContain("heartbeat");
					const { host } = new URL(fleet.server.url);
					expect(asked.filter((address) => new URL(address).host !== host)).toEqual([]);
					expect(asked).toContain(`ws://${host}/graphql`);
					expect(faults).toEqual([]);
				} finally {
					await context.close();
				}
			},
			testMs,
		);
	});
}

/** Notes every address the page asks for, its workers and sockets included; what the page made itself (data, blob) is no request. */
function recordRequests(page: Page): readonly string[] {
	const asked: string[] = [];
	page.context().on("request", (request) => {
		if (!/^(data|blob):/.test(request.url())) asked.push(request.url());
	});
	page.on("websocket", (socket) => asked.push(socket.url()));
	return asked;
}

/** Replaces the content of the code editor inside `place`. */
async function write(page: Page, place: string, text: string): Promise<void> {
	const editor = page.locator(`${place} .monaco-editor`).locator("visible=true").first();
	await editor.waitFor({ timeout: testMs / 3 });
	await editor.click();
	await page.keyboard.press("ControlOrMeta+A");
	await page.keyboard.press("Delete");
	await page.keyboard.insertText(text);
}
