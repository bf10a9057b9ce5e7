/** The dashboard over a real Docker Engine: containers as they come and go, their logs, a program run in one, and a host that is fused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { hasBrowser, launch, signIn, visit } from "./browser.ts";
import { docker, hasDocker, importImage, named, runContainer, tidy } from "./docker-support.ts";
import { Fleet, soon, testMs, until } from "./support.ts";

const jwtSecret = "the tests' own secret, more than 32 characters";

describe.skipIf(!hasBrowser || !hasDocker).each([...runtimeNames])(
	"the dashboard of a host with Docker, on %s (needs chromium, Docker and busybox)",
	(runtime) => {
		const machine = new Machine();
		let fleet: Fleet;
		let browser: Browser;
		let worker: RunningWorker;
		beforeAll(async () => {
			importImage();
			fleet = await Fleet.start({ runtime, env: { MUSTER_JWT_SECRET: jwtSecret } });
			browser = await launch();
			worker = await runWorker(machine, [], fleet.settings("quay", await fleet.site("quay"), "with-docker"));
			await soon("the connection", worker.line("worker.connected"));
		}, testMs);
		afterAll(async () => {
			await worker[Symbol.asyncDispose]();
			await browser.close();
			await fleet[Symbol.asyncDispose]();
			machine[Symbol.dispose]();
			tidy();
		}, testMs);

		async function open(token: string) {
			const window = await visit(browser, `${fleet.server.url}/#/hosts`);
			await signIn(window.page, token);
			await window.page.getByRole("link", { name: "with-docker" }).click();
			await window.page.getByRole("region", { name: "Containers" }).waitFor();
			return window;
		}

		test(
			"S12 H10: a container shows up on the host's page as it starts; its logs are followed there, and a program runs in it, with its input",
			async () => {
				await using window = await open(fleet.server.adminToken);
				const { page } = window;
				const name = named(`talks-${runtime}`);
				runContainer(`talks-${runtime}`, "sh", "-c", "echo said-before; while sleep 1; do echo said-after; done");
				const line = page.getByRole("row").filter({ hasText: name });
				await line.getByText("running").first().waitFor();

				await line.getByRole("button", { name: `Logs ${name}` }).click();
				const output = page.getByRole("log");
				await output.getByText("said-before").waitFor();
				await output.getByText("said-after").first().waitFor();
				await page.getByRole("button", { name: "Close" }).click();

				await line.getByRole("button", { name: `Run ${name}` }).click();
				await page.getByRole("textbox", { name: "Command" }).fill("echo ready; head -n 1; echo wrong >&2; exit 3");
				await page.getByRole("dialog").getByRole("button", { name: "Run" }).click();
				await output.getByText("ready").waitFor();
				await page.getByLabel("A line for it").fill("a typed line");
				await page.getByRole("button", { name: "Send" }).click();
				await output.getByText("a typed line").waitFor();
				await output.locator(".err").getByText("wrong").waitFor();
				await page.getByText("It ended with 3").waitFor();
				await page.getByRole("button", { name: "Close" }).click();

				expect(await line.getByRole("button", { name: `Stop ${name}` }).count()).toBe(0);
				docker("rm", "--force", name);
				await line.waitFor({ state: "detached" });
				expect(window.faults).toEqual([]);
			},
			testMs,
		);

		test(
			"S12 H11: fused on its page by its own Docker Engine, with a warning first, a host's containers are stopped and started from there; unfused they are not",
			async () => {
				await using window = await open(fleet.server.adminToken);
				const { page } = window;
				const name = named(`works-${runtime}`);
				runContainer(`works-${runtime}`);
				await page.getByRole("button", { name: "Fuse", exact: true }).click();
				const dialog = page.getByRole("dialog");
				await dialog.getByText("Whoever controls Docker controls the machine").waitFor();
				await dialog.getByRole("button", { name: "Fuse", exact: true }).click();

				await page.locator(".head").getByText("Fused").waitFor();
				const line = page.getByRole("row").filter({ hasText: name });
				await line.getByRole("button", { name: `Stop ${name}` }).click();
				await line.getByText("exited").first().waitFor();
				expect(docker("inspect", "--format", "{{.State.Status}}", name)).toBe("exited");
				await line.getByRole("button", { name: `Start ${name}` }).click();
				await until("it to run", () => docker("inspect", "--format", "{{.State.Status}}", name) === "running");
				await page.getByRole("button", { name: "Unfuse" }).click();
				await page.getByRole("dialog").getByRole("button", { name: "Unfuse" }).click();
				await page.locator(".head").getByText("Monitoring").waitFor();
				await line.getByRole("button", { name: `Stop ${name}` }).waitFor({ state: "detached" });
				expect(window.faults).toEqual([]);
			},
			testMs,
		);

		test(
			"S10: an operator reads logs and runs nothing, a viewer does neither",
			async () => {
				const name = named(`seen-${runtime}`);
				runContainer(`seen-${runtime}`);
				for (const [role, logs] of [
					["operator", 1],
					["viewer", 0],
				] as const) {
					const token = await mintAdminToken(new Secret(jwtSecret), systemClock, { role, tenant: "default", subject: role, hours: 1 });
					await using window = await open(token);
					const line = window.page.getByRole("row").filter({ hasText: name });
					await line.waitFor();
					expect([role, await line.getByRole("button", { name: /^Logs/ }).count()]).toEqual([role, logs]);
					expect([role, await line.getByRole("button", { name: /^(Run|Stop|Remove)/ }).count()]).toEqual([role, 0]);
					expect([role, await window.page.getByRole("button", { name: "Fuse" }).count()]).toEqual([role, 0]);
				}
			},
			testMs,
		);
	},
);
