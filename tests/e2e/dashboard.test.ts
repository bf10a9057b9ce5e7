/** The dashboard in a real browser, against a real server, with real compiled workers: what an operator does there, and what changes by itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { compressWorker } from "../../worker/build.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, RunningWorker, runWorker, workerBinary } from "../worker/support.ts";
import { hasBrowser, launch, rowOf, signIn, visit } from "./browser.ts";
import { canMakeHosts, hasSystemd, HostRoot } from "./host-root.ts";
import { Fleet, soon, testMs, until } from "./support.ts";

const sharedSecret = "the cluster's shared secret of the tests";

describe.skipIf(!hasBrowser).each([...runtimeNames])("the dashboard on %s (needs chromium)", (runtime) => {
	const dist = mkdtempSync(join(tmpdir(), "muster-dist-"));
	let fleet: Fleet;
	let browser: Browser;
	beforeAll(async () => {
		copyFileSync(await workerBinary(), join(dist, "muster-worker"));
		await compressWorker(join(dist, "muster-worker"));
		fleet = await Fleet.start({ runtime, env: { MUSTER_SHARED_SECRET: sharedSecret, MUSTER_WORKER_DIST: dist } });
		browser = await launch();
	}, testMs);
	afterAll(async () => {
		await browser.close();
		await fleet[Symbol.asyncDispose]();
		rmSync(dist, { recursive: true, force: true });
	}, testMs);

	/** A window on a place of the dashboard, signed in as an admin. */
	async function open(place: string) {
		const window = await visit(browser, `${fleet.server.url}/${place}`);
		await signIn(window.page, fleet.server.adminToken);
		return window;
	}

	/** Makes a host on the page; returns the line that was copied there. */
	async function addHost(page: Page, name: string): Promise<string> {
		await page.getByRole("heading", { name: "Add a host" }).waitFor();
		await page.getByLabel("Name").fill(name);
		await page.getByRole("button", { name: "Make the line" }).click();
		await page.getByRole("button", { name: "Copy" }).click();
		await page.getByRole("button", { name: "Copied" }).waitFor();
		return page.evaluate(() => navigator.clipboard.readText());
	}

	test.skipIf(!hasSystemd)(
		"S12 H1: the line copied from the page, pasted on a machine, brings the host onto the page; a worker that dies turns it DEGRADED there, all without a reload (needs systemd)",
		async () => {
			await using window = await open("#/hosts/add");
			await using host = await HostRoot.start("systemd");
			const name = `pasted-${runtime}`;
			const line = await addHost(window.page, name);
			await window.page.getByText(`Waiting for ${name}`).waitFor();

			// The hosts share this machine's ports.
			const said = await host.run(line.replace("export MUSTER_URL", "export MUSTER_METRICS_PORT=off\nexport MUSTER_URL"));
			expect(said).toMatchObject({ status: 0 });

			await window.page.getByText(`${name} is here`).waitFor();
			await window.page.getByRole("link", { name: "Hosts", exact: true }).first().click();
			await rowOf(window.page, name).getByText("Monitoring").waitFor();
			await host.run("systemctl kill --signal KILL muster-worker; systemctl stop muster-worker");
			await rowOf(window.page, name).getByText("Degraded").waitFor();
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"H8: while the page waits for a host it shows each refusal as it happens, with its code and what to do, and the host when it comes",
		async () => {
			await using window = await open("#/hosts/add");
			const { page } = window;
			const name = `refused-${runtime}`;
			const line = await addHost(page, name);
			const token = /MUSTER_ENROLL_TOKEN='([^']+)'/.exec(line)?.[1] ?? "";
			const settings = { MUSTER_URL: fleet.server.url, MUSTER_ENROLL_TOKEN: token, MUSTER_NODE_NAME: name };
			using machine = new Machine();
			await using wrong = await runWorker(machine, [], { ...settings, MUSTER_SHARED_SECRET: sharedSecret.toUpperCase() });
			expect(await soon("the refusal", wrong.exited)).toBe(77);

			await page.getByText("bad_secret").waitFor();
			await page.getByText("MUSTER_SHARED_SECRET must be the server's").waitFor();
			await page.getByText(`Waiting for ${name}`).waitFor();

			await using right = await runWorker(machine, [], { ...settings, MUSTER_SHARED_SECRET: sharedSecret });
			await page.getByText(`${name} is here`).waitFor();
			await page.getByRole("link", { name: "Look at it" }).click();
			await page.getByRole("heading", { name, level: 1 }).waitFor();
			await page.getByRole("region", { name: "Load" }).waitFor();
			right.child.kill("SIGKILL");
			await page.getByText("Degraded: not heard for a while").waitFor();
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test.skipIf(!canMakeHosts).each([
		["Adopt", 1],
		["Split", 2],
		["Ban", 1],
	] as const)(
		"S5: a collision of two real workers is shown side by side, and settled on the page with %s (needs root)",
		async (verdict, workers) => {
			const site = `twins-${verdict.toLowerCase()}`;
			const settings = fleet.settings(site, await fleet.site(site), `twin-${verdict}-${runtime}`);
			using first = new Machine();
			using second = new Machine();
			await using incumbent = await onHost("the-first", first, settings);
			await soon("the connection", incumbent.line("worker.connected"));
			await until("it to be online", async () => (await fleet.workers(site)).find(({ online }) => online));
			await using window = await open("#/claims");
			const { page } = window;
			await using claimant = await onHost("the-second", second, { ...settings, MUSTER_MACHINE_ID_FILE: first.machineIdFile });

			const card = page.getByRole("region", { name: `Two claim one machine: ${settings["MUSTER_WORKER_NAME"]}` });
			await card.getByRole("cell", { name: "the-first" }).waitFor();
			expect(await card.getByRole("row").filter({ hasText: "Hostname (differs)" }).textContent()).toContain("the-second");
			await card.getByRole("button", { name: new RegExp(`^${verdict}`) }).click();
			await page.getByRole("dialog").getByRole("button", { name: verdict }).click();

			await card.waitFor({ state: "detached" });
			if (verdict === "Ban") expect(await soon("its end", claimant.exited)).toBe(77);
			else await soon("the connection", claimant.line("worker.connected"));
			expect((await fleet.workers(site)).filter(({ state }) => state === "ACTIVE")).toHaveLength(workers);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"S2 S8: a site made on the page holds its hosts; its key is made, shown once and rotated there; a held worker is approved there",
		async () => {
			await using window = await open("#/sites");
			const { page } = window;
			await page.getByRole("button", { name: "New site" }).click();
			await page.getByLabel("Code").fill("harbour");
			await page.getByRole("checkbox").check();
			await page.getByRole("button", { name: "Make it" }).click();
			const site = page.getByRole("region", { name: "harbour" });
			await site.getByRole("button", { name: "Make the first key" }).click();
			await page.getByRole("dialog").getByRole("button", { name: "Make the key" }).click();
			const first = await page.getByLabel("The key").textContent();
			expect(first).toStartWith("mst_site_");
			await page.getByRole("button", { name: "Done" }).click();
			expect(await page.content()).not.toContain(first ?? "");

			using machine = new Machine();
			await using worker = await runWorker(machine, [], fleet.settings("harbour", first ?? "", "crane-1"));
			await soon("the hold", worker.line("enrollment.held"));
			await page.getByRole("link", { name: /^Collisions & approvals/ }).click();
			await page.getByRole("region", { name: "crane-1" }).getByRole("button", { name: "Approve" }).click();
			await soon("the connection", worker.line("worker.connected"));

			await page.getByRole("link", { name: "Sites & keys" }).click();
			await site.getByRole("button", { name: "Rotate the key" }).click();
			await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
			await page.getByRole("dialog", { name: /^Key v2/ }).waitFor();
			await page.getByRole("button", { name: "Done" }).click();

			await site.getByRole("row").filter({ hasText: "v2" }).getByText("active").waitFor();
			const former = site.getByRole("row").filter({ hasText: "v1" });
			await former.getByText("ended").waitFor();
			await former.getByRole("button", { name: "show" }).click();
			await former.getByRole("link", { name: "crane-1" }).waitFor();
			using late = new Machine();
			await using refused = await runWorker(late, [], fleet.settings("harbour", first ?? "", "crane-2"));
			expect(await soon("the refusal", refused.exited)).toBe(77);
			expect(refused.lastWords).toMatchObject({ reason: "revoked" });
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"S7: the audit log finds lines by the beginnings of words, and keeps the search in the address",
		async () => {
			await fleet.site("searched");
			await using window = await open("#/audit");
			const { page } = window;
			await page.getByLabel("Search the audit log").fill("rotat searched");
			await page.getByText("1 found").waitFor();
			expect(await page.getByRole("row").filter({ hasText: "site_key.rotated" }).count()).toBe(1);
			expect(page.url()).toContain("search=rotat");
			await page.reload();
			await page.getByText("site_key.rotated").first().waitFor();
			expect(await page.getByLabel("Search the audit log").inputValue()).toBe("rotat searched");
		},
		testMs,
	);
});

/** A compiled worker that sees another hostname than this machine's. */
async function onHost(hostname: string, machine: Machine, settings: Readonly<Record<string, string>>): Promise<RunningWorker> {
	const own = {
		MUSTER_STATE_DIR: machine.stateDir,
		MUSTER_MACHINE_ID_FILE: machine.machineIdFile,
		MUSTER_LOG_FORMAT: "json",
		MUSTER_METRICS_PORT: "off",
	};
	const child = spawn("unshare", ["--uts", "sh", "-c", 'hostname "$1" && exec "$0"', await workerBinary(), hostname], {
		cwd: machine.root,
		env: { HOME: machine.root, PATH: process.env.PATH ?? "", ...own, ...settings },
		stdio: ["ignore", "pipe", "pipe"],
	});
	return new RunningWorker(child);
}
