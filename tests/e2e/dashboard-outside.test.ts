/** What the dashboard shows of what is outside of it: webhooks with their deliveries, and the mesh. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { enrollDocument } from "../../src/protocol/operations.ts";
import { heartbeat } from "../api/support.ts";
import { type FakeHeadscale, startFakeHeadscale } from "../support/fakes/headscale.ts";
import { asAdmin, graphql } from "../support/muster.ts";
import { hex, sharedSecret } from "../support/pipeline.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { openReceiver, type Receiver, verified } from "../unit/webhooks/receiver.ts";
import { fitsWindow, hasBrowser, launch, picture, seriousFaults, signIn, visit } from "./browser.ts";
import { Fleet, testMs } from "./support.ts";

const looks = [
	["light", { width: 1280, dark: false }],
	["dark", { width: 1280, dark: true }],
	["phone", { width: 390, dark: true }],
] as const;

describe.skipIf(!hasBrowser).each([...runtimeNames])("the dashboard's webhooks and mesh, on %s (needs chromium)", (runtime) => {
	let fleet: Fleet;
	let browser: Browser;
	let receiver: Receiver;
	let headscale: FakeHeadscale;
	beforeAll(async () => {
		[receiver, headscale] = await Promise.all([openReceiver(), startFakeHeadscale("0.28.0")]);
		const mesh = {
			MUSTER_MESH: "headscale",
			MUSTER_HEADSCALE_URL: headscale.url,
			MUSTER_HEADSCALE_API_KEY: headscale.apiKey,
			MUSTER_HEADSCALE_USER: headscale.user,
		};
		fleet = await Fleet.start({
			runtime,
			env: { MUSTER_WEBHOOK_PRIVATE_ADDRESSES: "on", MUSTER_SHARED_SECRET: sharedSecret, MUSTER_STALE_SECONDS: "86400", ...mesh },
		});
		browser = await launch();
	}, testMs);
	afterAll(async () => {
		await browser.close();
		await fleet[Symbol.asyncDispose]();
		await receiver.close();
		await headscale.stop().catch(() => {});
	}, testMs);

	async function open(place: string, look: Parameters<typeof visit>[2] = {}) {
		const window = await visit(browser, `${fleet.server.url}/${place}`, look);
		await signIn(window.page, fleet.server.adminToken);
		return window;
	}
	async function inAllLooks(place: string, name: string, shown: string) {
		for (const [look, options] of looks) {
			await using window = await open(place, options);
			await window.page.getByText(shown).first().waitFor();
			expect(await picture(window.page, `${name}-${look}`)).toBeGreaterThan(10_000);
			expect([look, await seriousFaults(window.page), await fitsWindow(window.page)]).toEqual([look, [], true]);
		}
	}

	test(
		"S12: a webhook made on the page has its secret shown once, which its receiver verifies a test with; a delivery that fails shows its status and is delivered when it is tried again; deleted, it is gone",
		async () => {
			await using window = await open("#/webhooks");
			const { page } = window;
			await page.getByText("Alerts are sent nowhere yet").waitFor();
			const path = receiver.path({ status: 500 }, { status: 200 });
			const url = receiver.urlOf(path);
			await page.getByRole("button", { name: "New webhook" }).click();
			await page.getByLabel("URL").fill("http://user:password@127.0.0.1/");
			await page.getByRole("button", { name: "Make it" }).click();
			await page.getByText("holds credentials").waitFor();
			await picture(page, "webhooks-form");
			await page.getByLabel("URL").fill(url);
			await page.getByLabel("Description").fill("the pager of whoever is on call");
			await page.getByLabel("HOST_DEGRADED").check();
			await page.getByRole("button", { name: "Make it" }).click();
			const secret = (await page.getByLabel("The secret").textContent()) ?? "";
			expect(secret).toStartWith("whsec_");
			await page.getByRole("button", { name: "Copy" }).click();
			expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
			await page.getByRole("button", { name: "Done" }).click();
			expect(await page.content()).not.toContain(secret);

			const card = page.getByRole("region", { name: url });
			await card.getByText("HOST_DEGRADED").waitFor();
			await card.getByRole("button", { name: `Send a test to ${url}` }).click();
			const line = card.getByRole("row").filter({ hasText: "alert.test" });
			await line.getByText("to be sent").waitFor();
			await line.getByText("500").first().waitFor();
			await card.getByText("1 failed and tried again").waitFor();
			await line.getByText("delivered", { exact: true }).waitFor();
			await card.getByText("on", { exact: true }).waitFor();
			const [first, second] = receiver.received(path);
			expect([first, second].map((it) => it && verified(secret, it).type)).toEqual(["alert.test", "alert.test"]);

			const gone = receiver.urlOf(receiver.path({ status: 410 }));
			await asAdmin(fleet.server, "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } } }", {
				input: { url: gone },
			});
			await page.getByRole("region", { name: gone }).getByRole("button", { name: "Send a test" }).click();
			await page.getByRole("region", { name: gone }).getByText("switched off").waitFor();
			await inAllLooks("#/webhooks", "webhooks", "switched off");

			await card.getByRole("button", { name: `Delete ${url}` }).click();
			await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
			await card.waitFor({ state: "detached" });
			expect(window.faults).toEqual([]);
		},
		testMs,
	);

	/** Makes a host and lets a machine in as it, which joins the mesh and reports where it is. */
	async function joined(name: string, reported?: string) {
		const create = "mutation ($input: CreateHostInput!) { createHost(input: $input) { secret host { id } } }";
		const { createHost } = await asAdmin(fleet.server, create, { input: { name } });
		const credential = { hostToken: { token: createHost.secret, sharedSecret } };
		const input = { enrollmentId: hex(16), credential, worker: { name, machineUid: hex(32) } };
		const { enroll } = (await graphql(fleet.server, enrollDocument, { input })).data;
		const { address } = headscale.join(enroll.mesh.authKey, name);
		await heartbeat(fleet.server, enroll, { mesh: { state: "Running", addresses: [reported ?? address], nodeName: name } });
		return { hostId: String(createHost.host.id), address };
	}
	/** A machine that joined with a key of somebody else's. */
	async function strange(name: string) {
		const reply = await fetch(`${headscale.url}/api/v1/preauthkey`, {
			method: "POST",
			headers: { authorization: `Bearer ${headscale.apiKey}` },
			body: JSON.stringify({ expiration: new Date(Date.now() + 60_000).toISOString(), aclTags: ["tag:other"] }),
		});
		const { preAuthKey } = (await reply.json()) as { preAuthKey: { key: string } };
		headscale.join(preAuthKey.key, name);
	}

	test(
		"S12 H17: the mesh's page lists nodes as both sides see them, marks one of no host and one whose worker names another address, and says when the mesh does not answer; a host's page has its own node",
		async () => {
			const agrees = await joined("node-agrees");
			await joined("node-differs", "100.99.0.1");
			await strange("node-orphan");
			await using window = await open("#/mesh");
			const { page } = window;
			await page.getByText("it answers").waitFor();
			const row = (name: string) => page.getByRole("row").filter({ hasText: name });
			await row("node-agrees").getByText(agrees.address).waitFor();
			await row("node-differs").getByText("100.99.0.1").waitFor();
			await row("node-orphan").getByText("no host of ours").waitFor();
			await page.getByRole("button", { name: "To look at (2)" }).click();
			await row("node-agrees").waitFor({ state: "detached" });
			expect(await row("node-orphan").count()).toBe(1);
			await inAllLooks("#/mesh", "mesh", "node-orphan");

			await using beside = await open(`#/hosts/${agrees.hostId}`);
			const facts = beside.page.getByRole("region", { name: "Mesh" });
			await facts.getByText(agrees.address).waitFor();
			await facts.getByText("online").waitFor();
			await facts.getByText("Running").waitFor();
			expect(await facts.getByText("node-differs").count()).toBe(0);

			await headscale.stop();
			await page.getByText("it does not answer").waitFor();
			await page.getByText("SERVICE_UNAVAILABLE").first().waitFor();
			await page.getByText("none comes in by its token until it answers").waitFor();
			expect([window.faults, beside.faults]).toEqual([[], []]);
		},
		testMs,
	);
});
