/** A small fleet of real workers for the pages to show: some well, one lost, one that waits for approval, a collision, refusals. */
import type { Page } from "playwright-core";
import { asAdmin, type Muster } from "../support/muster.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { enroll, heartbeat } from "../api/support.ts";
import { enrollInput } from "../support/pipeline.ts";
import { soon, until } from "./support.ts";

export interface Stage extends AsyncDisposable {
	/** A host that is well, with a worker that runs. */
	readonly hostId: string;
	/** A host comes and another is refused, on the overview. */
	somethingHappens(page: Page): Promise<void>;
	/** Makes a host on the page and lets somebody with a wrong secret try to be it. */
	aRefusal(page: Page): Promise<void>;
}

const mutations = {
	site: "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id } } }",
	rotate:
		"mutation ($siteCode: String!, $graceSeconds: Int) { rotateSiteKey(siteCode: $siteCode, graceSeconds: $graceSeconds) { secret } }",
	key: 'mutation { createEnrollmentKey(input: { name: "rack 7", siteCode: "berlin", maxUses: 40, expiresInHours: 8 }) { secret } }',
};
const secret = "the cluster's shared secret of the tests";

/** Sets the stage on a server of its own, with short times. */
export async function stageFleet(server: Muster): Promise<Stage> {
	const undo: (() => unknown)[] = [];
	let running = true;
	const key = async (siteCode: string, graceSeconds: number | null = null) =>
		String((await asAdmin(server, mutations.rotate, { siteCode, graceSeconds })).rotateSiteKey.secret);
	const site = async (code: string, name: string, enrollmentPolicy = "AUTO_APPROVE") => {
		await asAdmin(server, mutations.site, { input: { code, name, enrollmentPolicy } });
		return key(code);
	};
	const berlin = await site("berlin", "Berlin plant");
	const harbour = await site("harbour", "Harbour cranes", "REQUIRE_APPROVAL");
	await asAdmin(server, mutations.key);

	async function start(siteCode: string, token: string, name: string, more: Readonly<Record<string, string>> = {}): Promise<RunningWorker> {
		const machine = new Machine();
		const settings = {
			MUSTER_URL: server.url,
			MUSTER_SITE_CODE: siteCode,
			MUSTER_ENROLL_TOKEN: token,
			MUSTER_WORKER_NAME: name,
			MUSTER_DOCKER_SOCKET: "off",
			...more,
		};
		const worker = await runWorker(machine, [], settings);
		undo.push(async () => {
			await worker[Symbol.asyncDispose]();
			machine[Symbol.dispose]();
		});
		return worker;
	}
	const crew = [];
	for (const name of ["press-1", "press-2", "paint-line", "cold-store"]) crew.push(await start("berlin", berlin, name));
	for (const worker of crew) await soon("the connection", worker.line("worker.connected"));
	const next = await key("berlin", 3_600);
	await soon("the connection", (await start("berlin", next, "packing-4", { MUSTER_LABELS: "hall=4,line=b" })).line("worker.connected"));
	await soon("the hold", (await start("harbour", harbour, "crane-9")).line("enrollment.held"));
	await asAdmin(server, 'mutation { createHost(input: { name: "gate-camera", siteCode: "berlin" }) { secret } }');

	// One that is online, played over HTTP under another hostname, and a real worker that claims the same machine.
	const uid = "5".repeat(64);
	const online = (await enroll(server, enrollInput({ siteCode: "berlin", key: next, hostname: "kiosk-west", machineUid: uid }))).data
		.enroll;
	const beat = () => heartbeat(server, online, { load1: 0.4, memoryUsedBytes: 1.4e9, uptimeSeconds: 86_400 });
	const beating = (async () => {
		while (running) {
			await beat();
			await Bun.sleep(1_000);
		}
	})();
	await until("the first one online", async () => {
		const { worker } = await asAdmin(server, "query ($id: ID!) { worker(id: $id) { online } }", { id: online.workerId });
		return worker.online === true ? true : undefined;
	});
	await enroll(server, enrollInput({ siteCode: "berlin", key: next, hostname: "kiosk-east", machineUid: uid }));
	// One that is lost, and one with an old key.
	crew[3]?.child.kill("SIGKILL");
	await soon("the refusal", (await start("berlin", `${next.slice(0, -4)}aaaa`, "press-3")).exited);
	const { host } = await asAdmin(server, 'query { host(name: "press-1") { id } }');

	return {
		hostId: host.id,
		async somethingHappens(page) {
			const name = `sorter-${crypto.randomUUID().slice(0, 4)}`;
			await start("berlin", next, name);
			await page.getByText(name).first().waitFor();
			// Twelve points of the live line.
			await page.waitForFunction(() => (document.querySelector(".spark .stroke")?.getAttribute("d")?.split("L").length ?? 0) > 12);
		},
		async aRefusal(page) {
			const name = `lift-${crypto.randomUUID().slice(0, 4)}`;
			await page.getByLabel("Name").fill(name);
			await page.getByRole("button", { name: "Make the line" }).click();
			const line = (await page.getByLabel("Install line").textContent()) ?? "";
			const token = /MUSTER_ENROLL_TOKEN='([^']+)'/.exec(line)?.[1] ?? "";
			const worker = await start("", token, name, { MUSTER_NODE_NAME: name, MUSTER_SHARED_SECRET: secret.toUpperCase() });
			await soon("the refusal", worker.exited);
			await page.getByText("bad_secret").waitFor();
		},
		async [Symbol.asyncDispose]() {
			running = false;
			await beating;
			for (const step of undo.reverse()) await step();
		},
	};
}
