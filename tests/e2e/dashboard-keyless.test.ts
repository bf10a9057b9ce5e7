/** Adding a host from the page of a server without MUSTER_SHARED_SECRET: what is shown there works when it is pasted; and hosts that leave. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { compressWorker } from "../../worker/build.ts";
import { asAdmin } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, runWorker, workerBinary } from "../worker/support.ts";
import { fitsWindow, hasBrowser, launch, picture, rowOf, seriousFaults, signIn, visit } from "./browser.ts";
import { hasSystemd, HostRoot } from "./host-root.ts";
import { Fleet, soon, testMs } from "./support.ts";

const jwtSecret = "the tests' own secret, more than 32 characters";

describe.skipIf(!hasBrowser).each([...runtimeNames])(
	"the dashboard of a server without a shared secret, on %s (needs chromium)",
	(runtime) => {
		const dist = mkdtempSync(join(tmpdir(), "muster-dist-"));
		let fleet: Fleet;
		let browser: Browser;
		beforeAll(async () => {
			copyFileSync(await workerBinary(), join(dist, "muster-worker"));
			await compressWorker(join(dist, "muster-worker"));
			fleet = await Fleet.start({ runtime, env: { MUSTER_WORKER_DIST: dist, MUSTER_JWT_SECRET: jwtSecret } });
			browser = await launch();
		}, testMs);
		afterAll(async () => {
			await browser.close();
			await fleet[Symbol.asyncDispose]();
			rmSync(dist, { recursive: true, force: true });
		}, testMs);

		async function open(place: string, look: Parameters<typeof visit>[2] = {}, token = fleet.server.adminToken) {
			const window = await visit(browser, `${fleet.server.url}/${place}`, look);
			await signIn(window.page, token);
			return window;
		}
		/** Makes the line on the page; returns what was copied there. */
		async function lineFor(page: Page, name: string): Promise<string> {
			// The page before may have a field of that label too.
			await page.getByRole("heading", { name: "Add a host" }).waitFor();
			await page.getByLabel("Name").fill(name);
			await page.getByRole("button", { name: "Make the line" }).click();
			await page.getByRole("button", { name: "Copy" }).click();
			await page.getByRole("button", { name: "Copied" }).waitFor();
			return page.evaluate(() => navigator.clipboard.readText());
		}
		const tokenIn = (line: string) => /MUSTER_ENROLL_TOKEN='([^']+)'/.exec(line)?.[1] ?? "";

		test.skipIf(!hasSystemd)(
			"S12 H1: without a shared secret, and with no site yet, the line that the page shows brings the host in all the same when it is pasted (needs systemd)",
			async () => {
				const another = { role: "admin", tenant: `new-${runtime}`, subject: "first", hours: 1 } as const;
				await using window = await open("#/hosts/add", {}, await mintAdminToken(new Secret(jwtSecret), systemClock, another));
				const { page } = window;
				await page.getByText("This server has no MUSTER_SHARED_SECRET").waitFor();
				await picture(page, "add-host-keyless");
				await page.getByLabel("Site").fill("first-site");
				const name = `pasted-${runtime}`;
				const line = await lineFor(page, name);
				expect(line).not.toContain("MUSTER_SHARED_SECRET");
				await page.getByText(`Waiting for ${name}`).waitFor();
				await picture(page, "add-host-keyless-line");

				await using host = await HostRoot.start("systemd");
				// The hosts share this machine's ports.
				const said = await host.run(line.replace("export MUSTER_URL", "export MUSTER_METRICS_PORT=off\nexport MUSTER_URL"));
				expect(said).toMatchObject({ status: 0 });

				await page.getByText(`${name} is here`).waitFor();
				await page.getByRole("link", { name: "Look at it" }).click();
				await page.getByRole("heading", { name, level: 1 }).waitFor();
				await page.getByRole("region", { name: "Load" }).waitFor();
				expect(window.faults).toEqual([]);
			},
			testMs,
		);

		test(
			"H8: the key of such a line lets one machine in: the second is refused on the page, with what to do; a host of the name that was there before is not taken for it",
			async () => {
				await fleet.site(`yard-${runtime}`);
				await using window = await open("#/hosts/add");
				const { page } = window;
				await page.getByLabel("Site").selectOption(`yard-${runtime}`);
				const name = `twice-${runtime}`;
				const settings = {
					MUSTER_URL: fleet.server.url,
					MUSTER_WORKER_NAME: name,
					MUSTER_ENROLL_TOKEN: tokenIn(await lineFor(page, name)),
				};
				using machine = new Machine();
				using other = new Machine();
				await using first = await runWorker(machine, [], settings);
				await page.getByText(`${name} is here`).waitFor();
				await using second = await runWorker(other, [], settings);
				expect(await soon("the refusal", second.exited)).toBe(77);
				await page.getByText("Make a new enrollment key with more uses").waitFor();

				await page.getByRole("link", { name: "Hosts", exact: true }).first().click();
				await rowOf(page, name).getByText("Monitoring").waitFor();
				await page.getByRole("link", { name: "Add a host" }).click();
				await lineFor(page, name);
				await page.getByText(`Waiting for ${name}`).waitFor();
				expect(await page.getByText(`${name} is here`).count()).toBe(0);
				await first.line("worker.connected");
				expect(window.faults).toEqual([]);
			},
			testMs,
		);

		test(
			"S12 H1: a host's new install line is not shown where it would be refused: the page says what to set, and leads to the way that works",
			async () => {
				const { createHost } = await asAdmin(fleet.server, 'mutation { createHost(input: { name: "waits" }) { host { id } } }');
				await using window = await open(`#/hosts/${createHost.host.id}`, { width: 390, dark: true });
				const { page } = window;
				await page.getByRole("button", { name: "New install line" }).click();
				const dialog = page.getByRole("dialog");
				await dialog.getByText("set that variable there").waitFor();
				expect(await dialog.getByRole("button", { name: "Make it" }).count()).toBe(0);
				expect([await seriousFaults(page), await fitsWindow(page)]).toEqual([[], true]);
				await dialog.getByRole("link", { name: "a line with an enrollment key" }).click();
				await page.getByRole("heading", { name: "Add a host" }).waitFor();
				expect([await seriousFaults(page), await fitsWindow(page)]).toEqual([[], true]);
			},
			testMs,
		);

		test(
			"S12 H1: a host that is deleted, and one whose worker is revoked, leave or change in the list of who did it at once, without the refresh that others wait for",
			async () => {
				const site = `leaves-${runtime}`;
				const key = await fleet.site(site);
				using machine = new Machine();
				await using worker = await runWorker(machine, [], fleet.settings(site, key, `cut-${runtime}`));
				await soon("the connection", worker.line("worker.connected"));
				const name = `gone-${runtime}`;
				await asAdmin(fleet.server, "mutation ($input: CreateHostInput!) { createHost(input: $input) { host { id } } }", {
					input: { name },
				});
				await using window = await visit(browser, fleet.server.url);
				const { page } = window;
				// The refresh never comes.
				await page.addInitScript(() => {
					const real = globalThis.setInterval;
					const without = (work: () => void, ms: number) => (ms >= 15_000 ? 0 : real(work, ms));
					Object.assign(globalThis, { setInterval: without });
				});
				await page.goto(`${fleet.server.url}/#/hosts`);
				await page.reload();
				await signIn(page, fleet.server.adminToken);
				await rowOf(page, name).getByRole("link").click();
				await page.getByRole("button", { name: "Delete" }).click();
				await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
				await page.getByRole("heading", { name: "Hosts", level: 1 }).waitFor();
				await rowOf(page, `cut-${runtime}`).waitFor();
				await rowOf(page, name).waitFor({ state: "detached" });

				await rowOf(page, `cut-${runtime}`).getByRole("link").click();
				await page.getByRole("button", { name: "Revoke worker" }).click();
				await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
				await page.getByText("REVOKED").waitFor();
				await page.getByRole("link", { name: "Hosts", exact: true }).first().click();
				await rowOf(page, `cut-${runtime}`).getByText("revoked").waitFor();
				expect(window.faults).toEqual([]);
			},
			testMs,
		);
	},
);
