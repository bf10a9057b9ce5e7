/** The dashboard when something goes away in the middle: it heals by itself, or says what to do. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { asAdmin } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { hasBrowser, launch, rowOf, signIn, visit } from "./browser.ts";
import { Fleet, testMs } from "./support.ts";

const jwtSecret = "the tests' own secret, more than 32 characters";
const makeHost = "mutation ($input: CreateHostInput!) { createHost(input: $input) { host { id } } }";

describe.skipIf(!hasBrowser).each([...runtimeNames])("the dashboard on %s, in bad weather (needs chromium)", (runtime) => {
	let fleet: Fleet;
	let browser: Browser;
	beforeAll(async () => {
		fleet = await Fleet.start({ runtime, env: { MUSTER_JWT_SECRET: jwtSecret } });
		browser = await launch();
	}, testMs);
	afterAll(async () => {
		await browser.close();
		await fleet[Symbol.asyncDispose]();
	}, testMs);

	test(
		"S12: a server that restarts: the page says that the connection is lost, comes back without a reload, and shows what happened meanwhile and after",
		async () => {
			await using window = await visit(browser, `${fleet.server.url}/#/hosts`);
			await signIn(window.page, fleet.server.adminToken);
			await asAdmin(fleet.server, makeHost, { input: { name: `before-${runtime}` } });
			await rowOf(window.page, `before-${runtime}`).waitFor();
			await window.page.evaluate(() => Object.assign(globalThis, { sameDocument: true }));
			const lost = window.page.getByText("Connection lost").waitFor();
			await fleet.restartServer();
			await lost;
			await asAdmin(fleet.server, makeHost, { input: { name: `meanwhile-${runtime}` } });

			await rowOf(window.page, `meanwhile-${runtime}`).waitFor();
			await window.page.getByText("Connection lost").waitFor({ state: "detached" });
			await asAdmin(fleet.server, makeHost, { input: { name: `after-${runtime}` } });
			await rowOf(window.page, `after-${runtime}`).waitFor();

			expect(await window.page.evaluate(() => "sameDocument" in globalThis)).toBe(true);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	test(
		"S12: a token that runs out in the middle: the page says so, and whoever signs in again is where he was",
		async () => {
			const token = await mintAdminToken(new Secret(jwtSecret), systemClock, {
				role: "viewer",
				tenant: "default",
				subject: "short-lived",
				hours: 6 / 3_600,
			});
			await using window = await visit(browser, `${fleet.server.url}/#/audit?search=host`);
			await signIn(window.page, token);
			await window.page.getByRole("heading", { name: "Audit" }).waitFor();

			await window.page.getByText("token has expired").waitFor();
			await signIn(window.page, fleet.server.adminToken);

			expect(await window.page.getByLabel("Search the audit log").inputValue()).toBe("host");
			expect(await window.page.evaluate(() => sessionStorage.length)).toBe(1);
			expect(window.faults).toEqual([]);
		},
		testMs,
	);
});
