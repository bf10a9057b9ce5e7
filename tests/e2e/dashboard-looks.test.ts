/** The dashboard for everyone: with a screen reader, in the dark, on a phone, with a hundred thousand hosts; and the README's pictures of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { seedFleet } from "../../bench/dashboard-fleet.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { asAdmin, type Muster, startMuster } from "../support/muster.ts";
import { fitsWindow, hasBrowser, launch, rowOf, seriousFaults, signIn, visit } from "./browser.ts";
import { stageFleet } from "./dashboard-stage.ts";
import { testMs } from "./support.ts";

const views = [
	{ name: "light, a desk", width: 1280, height: 800, dark: false },
	{ name: "dark, a phone", width: 390, height: 800, dark: true },
] as const;
const places = [
	"#/",
	"#/hosts",
	"#/hosts/HOST",
	"#/hosts/add",
	"#/claims",
	"#/sites",
	"#/mesh",
	"#/alerts?show=all",
	"#/webhooks",
	"#/audit",
];

describe.skipIf(!hasBrowser)("the dashboard's looks (needs chromium)", () => {
	let database: TestDatabase;
	let server: Muster;
	let browser: Browser;
	let stage: Awaited<ReturnType<typeof stageFleet>>;
	beforeAll(async () => {
		database = await testDatabase();
		server = await startMuster({
			databaseUrl: database.url,
			env: { MUSTER_SHARED_SECRET: "the cluster's shared secret of the tests", MUSTER_STALE_SECONDS: "6", MUSTER_HEARTBEAT_SECONDS: "1" },
		});
		browser = await launch();
		stage = await stageFleet(server);
	}, testMs);
	afterAll(async () => {
		await stage[Symbol.asyncDispose]();
		await browser.close();
		await server.stop();
		await database.drop();
	}, testMs);

	test.each(views)(
		"S12: axe finds nothing serious on any page, and nothing is wider than the window ($name)",
		async (view) => {
			await using window = await visit(browser, `${server.url}/`, view);
			const { page } = window;
			expect(await seriousFaults(page)).toEqual([]);
			await signIn(page, server.adminToken);
			for (const place of places) {
				await go(page, place.replace("HOST", stage.hostId));
				expect([place, await seriousFaults(page)]).toEqual([place, []]);
				expect([place, await fitsWindow(page)]).toEqual([place, true]);
			}
			await go(page, "#/sites");
			await page.getByRole("button", { name: "Rotate the key" }).first().click();
			expect(["a dialog", await seriousFaults(page)]).toEqual(["a dialog", []]);
			await go(page, "#/webhooks");
			await page.getByRole("button", { name: "New webhook" }).click();
			expect(["a form", await seriousFaults(page), await fitsWindow(page)]).toEqual(["a form", [], true]);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"S12: by the keyboard alone one gets to a host, and out of a dialog to where one was",
		async () => {
			await using window = await visit(browser, `${server.url}/#/hosts/${stage.hostId}`);
			const { page } = window;
			await signIn(page, server.adminToken);
			const button = page.getByRole("button", { name: "New install line" });
			await button.focus();
			await page.keyboard.press("Enter");
			await page.getByRole("dialog").waitFor();
			await page.keyboard.press("Escape");
			await page.getByRole("dialog").waitFor({ state: "detached" });
			expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);
			await page.getByRole("link", { name: "Hosts", exact: true }).first().focus();
			await page.keyboard.press("Enter");
			await page.getByRole("heading", { name: "Hosts", level: 1 }).waitFor();
			expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("H1");
			await rowOf(page, "press-1").getByRole("link").focus();
			await page.keyboard.press("Enter");
			await page.getByRole("heading", { name: "press-1", level: 1 }).waitFor();
		},
		testMs,
	);

	test(
		"S12: times are relative, with the exact one on hover",
		async () => {
			await using window = await visit(browser, `${server.url}/#/audit`);
			await signIn(window.page, server.adminToken);
			const time = window.page.getByRole("cell").locator("time").first();
			expect(await time.textContent()).toMatch(/^(now|\d+[smhd] ago)$/);
			expect(await time.getAttribute("title")).toMatch(/20\d\d.*\d+:\d\d:\d\d/);
		},
		testMs,
	);

	test(
		"README: the pictures are of the real page (written to MUSTER_SCREENSHOT_DIR when it is set)",
		async () => {
			const dir = process.env["MUSTER_SCREENSHOT_DIR"];
			for (const [name, place, dark] of [
				["overview", "#/", false],
				["host", `#/hosts/${stage.hostId}`, true],
				["collision", "#/claims", false],
				["add-host", "#/hosts/add", false],
			] as const) {
				await using window = await visit(browser, `${server.url}/`, { width: 1180, height: 720, dark });
				await signIn(window.page, server.adminToken);
				await go(window.page, place);
				if (name === "overview") await stage.somethingHappens(window.page);
				if (name === "add-host") await stage.aRefusal(window.page);
				const picture = await window.page.screenshot(dir === undefined ? {} : { path: `${dir}/dashboard-${name}.png` });
				expect(picture.length).toBeGreaterThan(10_000);
			}
		},
		testMs,
	);

	test(
		"S12: of a hundred thousand hosts only those in view are in the document; the last one is a scroll away, and names are found",
		async () => {
			await seedFleet(database.db, 100_000);
			await using window = await visit(browser, `${server.url}/#/hosts`);
			const { page } = window;
			await signIn(page, server.adminToken);
			await rowOf(page, "edge-100000").waitFor();
			await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
			await rowOf(page, "edge-000001").waitFor();
			expect(await page.getByRole("row").count()).toBeLessThan(80);
			await page.evaluate(() => scrollTo(0, document.body.scrollHeight / 2));
			await page
				.getByRole("link", { name: /^edge-0[45]\d{4}$/ })
				.first()
				.waitFor();
			await page.getByLabel("Name contains").fill("ge-0777");
			await rowOf(page, "edge-077799").waitFor();
			await page.getByText("100 found").waitFor();
			expect(page.url()).toContain("name=ge-0777");
			await asAdmin(server, "mutation ($id: ID!) { deleteHost(id: $id) { deletedId } }", { id: stage.hostId });
			expect(window.faults).toEqual([]);
		},
		testMs,
	);
});

async function go(page: Page, place: string): Promise<void> {
	await page.evaluate((hash) => (location.hash = hash), place);
	await page.getByRole("heading", { level: 1 }).waitFor();
	await page.waitForLoadState("networkidle");
}
