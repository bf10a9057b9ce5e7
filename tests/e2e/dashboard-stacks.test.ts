/** Stacks on the dashboard, over a real Docker Engine: deployed, scaled, edited, redeployed and removed on the page of a fused host. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { asAdmin } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { fitsWindow, hasBrowser, launch, picture, seriousFaults, signIn, visit } from "./browser.ts";
import { docker, hasEngine, makeImage, sweep } from "./stacks-support.ts";
import { Fleet, soon, testMs, until } from "./support.ts";

const jwtSecret = "the tests' own secret, more than 32 characters";
const run = crypto.randomUUID().slice(0, 8);
const image = `muster-stacks-page:${run}`;
const compose = `services:
  web:
    image: ${image}
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
    environment: { COLOUR: "\${COLOUR:?give one}" }
    stop_grace_period: 5s
`;

describe.skipIf(!hasBrowser || !hasEngine).each([...runtimeNames])(
	"stacks on the dashboard, on %s (needs chromium, Docker and a static busybox)",
	(runtime) => {
		const machine = new Machine();
		const name = `muster-stacks-page-${runtime}-${run}`;
		let fleet: Fleet;
		let browser: Browser;
		let worker: RunningWorker;
		let hostId: string;
		beforeAll(async () => {
			makeImage(image);
			fleet = await Fleet.start({ runtime, env: { MUSTER_JWT_SECRET: jwtSecret, MUSTER_STALE_SECONDS: "30" } });
			browser = await launch();
			worker = await runWorker(machine, [], fleet.settings("quay", await fleet.site("quay"), "with-stacks"));
			await soon("the connection", worker.line("worker.connected"));
			hostId = (await asAdmin(fleet.server, '{ host(name: "with-stacks") { id } }')).host.id;
		}, testMs);
		afterAll(async () => {
			await worker[Symbol.asyncDispose]();
			await browser.close();
			await fleet[Symbol.asyncDispose]();
			machine[Symbol.dispose]();
			sweep(name);
			docker("rmi", "--force", image);
		}, testMs);

		async function open(token = fleet.server.adminToken, look: Parameters<typeof visit>[2] = {}) {
			const window = await visit(browser, `${fleet.server.url}/#/hosts/${hostId}`, look);
			await signIn(window.page, token);
			await window.page.getByRole("heading", { name: "with-stacks", level: 1 }).waitFor();
			return window;
		}
		const panel = (page: Page) => page.getByRole("region", { name: "Stacks" });
		const card = (page: Page) => page.getByRole("region", { name });
		const colours = () => {
			const ids = docker("ps", "--quiet", "--filter", `label=com.docker.compose.project=${name}`).split("\n").filter(Boolean);
			const all = ids.map((id) => docker("inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", id));
			return all.map((env) => /^COLOUR=(.*)$/m.exec(env)?.[1]);
		};
		/** The dialog tells what is done; closed when that has ended. */
		async function followed(page: Page, words: string) {
			const dialog = page.getByRole("dialog");
			await dialog.getByText(words).waitFor();
			const said = await dialog.getByRole("log").textContent();
			await picture(page, "stacks-progress");
			await dialog.getByRole("button", { name: "Close" }).click();
			await dialog.waitFor({ state: "detached" });
			return said;
		}

		test(
			"S12 H12: only on a fused host an admin is offered to deploy; deployed from a file with its variables, the stack's services run, told line by line; then it is scaled, edited, redeployed and removed there",
			async () => {
				await using window = await open();
				const { page } = window;
				await page.getByRole("region", { name: "Containers" }).waitFor();
				expect(await panel(page).count()).toBe(0);
				await asAdmin(fleet.server, "mutation ($id: ID!) { fuseHost(id: $id, provider: DOCKER) { host { state } } }", { id: hostId });
				await panel(page).getByText("No stacks yet").waitFor();

				await panel(page).getByRole("button", { name: "Deploy a stack" }).click();
				const dialog = page.getByRole("dialog");
				await dialog.getByLabel("Name").fill(name);
				await dialog.getByLabel("Compose file").fill(`${compose}    made_up: 1\n`);
				await dialog.getByRole("button", { name: "Deploy" }).click();
				await dialog.getByText("needs the variable COLOUR: give one").waitFor();
				await dialog.getByLabel("COLOUR").fill("red");
				await dialog.getByRole("button", { name: "Deploy" }).click();
				await dialog.getByRole("alert").getByText("made_up").waitFor();
				await dialog.getByLabel("Compose file").fill(compose);
				expect(await seriousFaults(page)).toEqual([]);
				await picture(page, "stacks-deploy");
				await dialog.getByRole("button", { name: "Deploy" }).click();
				expect(await followed(page, "It ended: succeeded")).toContain(`${name}-web-1`);
				await card(page).getByText("1 of 1").waitFor();
				await card(page).getByText("running", { exact: true }).waitFor();
				expect(colours()).toEqual(["red"]);

				await card(page)
					.getByRole("button", { name: `Scale web of ${name}` })
					.click();
				await dialog.getByLabel("Containers").fill("2");
				await dialog.getByRole("button", { name: "Scale" }).click();
				await followed(page, "It ended: succeeded");
				await card(page).getByText("2 of 2").waitFor();
				expect(colours()).toEqual(["red", "red"]);

				await card(page)
					.getByRole("button", { name: `Edit ${name}` })
					.click();
				expect(await dialog.getByLabel("Compose file").inputValue()).toBe(compose);
				expect(await dialog.getByLabel("COLOUR").inputValue()).toBe("");
				await dialog.getByLabel("COLOUR").fill("green");
				await dialog.getByRole("button", { name: "Deploy" }).click();
				await followed(page, "It ended: succeeded");
				await card(page).getByText("1 of 1").waitFor();
				expect(colours()).toEqual(["green"]);

				docker("rm", "--force", `${name}-web-1`);
				await card(page).getByText("0 of 1").waitFor();
				await card(page).getByText("stopped", { exact: true }).waitFor();
				await card(page)
					.getByRole("button", { name: `Redeploy ${name}` })
					.click();
				await dialog.getByRole("button", { name: "Redeploy" }).click();
				await followed(page, "It ended: succeeded");
				await card(page).getByText("1 of 1").waitFor();

				await card(page)
					.getByRole("button", { name: `Remove ${name}` })
					.click();
				await dialog.getByRole("checkbox").check();
				await dialog.getByRole("button", { name: "Remove" }).click();
				await followed(page, "It ended: succeeded");
				await card(page).waitFor({ state: "detached" });
				expect(colours()).toEqual([]);
				expect(window.faults).toEqual([]);
			},
			testMs,
		);

		test(
			"S12 H12: a deployment that fails says why, in the dialog and on the page; what runs on it is shown to others as it changes, who are offered nothing",
			async () => {
				await until("it to be fused", async () => {
					const { host } = await asAdmin(fleet.server, "query ($id: ID) { host(id: $id) { state } }", { id: hostId });
					if (host.state === "MONITORING")
						await asAdmin(fleet.server, "mutation ($id: ID!) { fuseHost(id: $id) { host { id } } }", { id: hostId });
					return host.state === "FUSED";
				});
				const mint = (role: "viewer" | "operator") =>
					mintAdminToken(new Secret(jwtSecret), systemClock, { role, tenant: "default", subject: role, hours: 1 });
				await using watching = await open(await mint("viewer"));
				await using window = await open();
				const { page } = window;
				const deploy = async (file: string) => {
					const input = { hostId, name, compose: file, environment: [{ key: "COLOUR", value: "blue" }] };
					await asAdmin(fleet.server, "mutation ($input: DeployStackInput!) { deployStack(input: $input) { stack { id } } }", { input });
				};
				await deploy(compose);
				await card(watching.page).getByText("1 of 1").waitFor();

				await card(page)
					.getByRole("button", { name: `Edit ${name}` })
					.click();
				const dialog = page.getByRole("dialog");
				await dialog.getByLabel("Compose file").fill(compose.replace(image, "127.0.0.1:9/none:1"));
				await dialog.getByLabel("COLOUR").fill("blue");
				await dialog.getByRole("button", { name: "Deploy" }).click();
				await followed(page, "It failed:");
				await card(watching.page).getByText("failed", { exact: true }).waitFor();
				await card(watching.page).locator(".failure").getByText("127.0.0.1:9").waitFor();
				expect(colours()).toEqual(["blue"]);

				await using operator = await open(await mint("operator"));
				await card(operator.page).waitFor();
				for (const other of [operator.page, watching.page]) expect(await panel(other).getByRole("button").count()).toBe(0);
				for (const [look, dark, width] of [
					["light", false, 1280],
					["dark", true, 1280],
					["phone", true, 390],
				] as const) {
					await using view = await open(fleet.server.adminToken, { dark, width });
					await card(view.page).waitFor();
					expect(await picture(view.page, `stacks-${look}`)).toBeGreaterThan(10_000);
					expect([look, await seriousFaults(view.page), await fitsWindow(view.page)]).toEqual([look, [], true]);
				}
				expect([window.faults, watching.faults]).toEqual([[], []]);
			},
			testMs,
		);
	},
);
