/** The compiled worker against a real server on both runtimes: the life of one machine, from its first key to its end. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { createServer, type Server, connect } from "node:net";
import { join } from "node:path";
import { mintToken } from "../../src/protocol/token.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { Fleet, keptId, soon, testMs, until } from "./support.ts";

const credentialFiles = [".MUSTER_WORKER_ID", ".MUSTER_WORKER_API_KEY"];

/** Starts a worker that enrolls, and waits until its host has a heartbeat. */
async function enrolled(fleet: Fleet, site: string, machine: Machine, key: string): Promise<RunningWorker> {
	const worker = await runWorker(machine, [], fleet.settings(site, key));
	await soon("the enrollment", worker.line("worker.enrolled"));
	await until("a heartbeat on the worker", async () => (await fleet.workers(site)).find((found) => found.lastHeartbeatAt !== null));
	return worker;
}

async function stopped(worker: RunningWorker): Promise<void> {
	worker.child.kill("SIGTERM");
	expect(await soon("the worker's end", worker.exited)).toBe(0);
}

describe.each([...runtimeNames])("on %s", (runtime) => {
	let fleet: Fleet;
	let site: string;
	beforeAll(async () => {
		fleet = await Fleet.start({ runtime });
	}, testMs);
	afterAll(() => fleet[Symbol.asyncDispose](), testMs);
	// Each test has a site of its own, and machines of its own in it.
	beforeEach(() => {
		site = `site-${crypto.randomUUID().slice(0, 8)}`;
	});

	test(
		"S3 H9: a worker with a site key enrolls, and its heartbeats appear in the subscription, on the worker and on its host",
		async () => {
			using machine = new Machine();
			const key = await fleet.site(site);
			const live = fleet.heartbeats(site);
			await using _worker = await enrolled(fleet, site, machine, key);

			const beat = await until("two heartbeats", () => live.events[1]?.heartbeat);
			await live.stop();

			expect(beat).toMatchObject({ name: "edge-1" });
			const [worker] = await fleet.workers(site);
			expect(worker).toMatchObject({ id: beat.workerId, state: "ACTIVE", online: true, host: { state: "MONITORING" } });
			expect(Date.parse(worker?.host?.lastHeartbeatAt ?? "")).toBeGreaterThan(0);
		},
		testMs,
	);

	test(
		"A9: a restart without any secret resumes as the same worker, with no enroll attempt",
		async () => {
			using machine = new Machine();
			const first = await enrolled(fleet, site, machine, await fleet.site(site));
			const id = keptId(machine);
			await stopped(first);
			const attempts = await fleet.attempts(site);
			await using again = await runWorker(machine, []);
			await soon("the connection", again.line("worker.connected"));
			const live = fleet.heartbeats(site);
			await until("a heartbeat", () => live.events[0]);
			await live.stop();

			expect(await fleet.attempts(site)).toBe(attempts);
			expect(keptId(machine)).toBe(id);
			expect(again.lines.map((line) => line.message)).not.toContain("worker.enrolled");
		},
		testMs,
	);

	test(
		"A10: without its two credential files a machine enrolls again as the same worker, REUSED, with no duplicate",
		async () => {
			using machine = new Machine();
			const key = await fleet.site(site);
			const first = await enrolled(fleet, site, machine, key);
			const id = keptId(machine);
			await stopped(first);
			for (const name of credentialFiles) rmSync(join(machine.stateDir, name));
			await using again = await runWorker(machine, [], fleet.settings(site, key));

			expect(await soon("the enrollment", again.line("worker.enrolled"))).toMatchObject({ workerId: id, outcome: "REUSED" });
			expect(keptId(machine)).toBe(id);
			expect(await fleet.workers(site)).toHaveLength(1);
		},
		testMs,
	);

	test(
		"A16: a wrong key ends the worker with 77 and one line that names invalid_token; a rotated one says that it was",
		async () => {
			const former = await fleet.site(site);
			await fleet.rotate(site);
			const wrong = mintToken("site", crypto.getRandomValues(new Uint8Array(38))).text;
			for (const [key, reason] of [
				[wrong, "invalid_token"],
				[former, "revoked"],
			] as const) {
				using machine = new Machine();
				await using worker = await runWorker(machine, [], fleet.settings(site, key));

				expect(await soon("the refusal", worker.exited)).toBe(77);

				expect(worker.lines.filter((line) => line.level === "ERROR")).toEqual([
					expect.objectContaining({ message: "worker.stopped", exitCode: 77, reason }),
				]);
				expect(fleet.server.stderr()).not.toContain(key);
			}
			expect(await fleet.workers(site)).toHaveLength(0);
		},
		testMs,
	);

	test(
		"H9: after a restart of the server the worker reconnects by itself and does not enroll again",
		async () => {
			using machine = new Machine();
			await using worker = await enrolled(fleet, site, machine, await fleet.site(site));
			const attempts = await fleet.attempts(site);
			await fleet.restartServer();
			const live = fleet.heartbeats(site);

			await until("a heartbeat at the restarted server", () => live.events[0]);
			await live.stop();

			expect(await fleet.attempts(site)).toBe(attempts);
			expect(worker.lines.filter((line) => line.message === "worker.connected")).toHaveLength(2);
			expect(worker.child.exitCode).toBeNull();
		},
		testMs,
	);

	test(
		"H13: a killed worker's host is DEGRADED with an alert, and recovers with another when it is back",
		async () => {
			using machine = new Machine();
			await using worker = await enrolled(fleet, site, machine, await fleet.site(site));
			const live = fleet.alerts(site);
			const alert = (kind: string) => until(`the ${kind} alert`, () => live.events.find((event) => event.alert.kind === kind)?.alert);
			worker.child.kill("SIGKILL");

			const degraded = await alert("HOST_DEGRADED");
			const [lost] = await fleet.workers(site);
			expect(lost).toMatchObject({
				id: degraded.worker?.id ?? "",
				online: false,
				host: { state: "DEGRADED", lastKnownState: "MONITORING" },
			});
			await using _back = await runWorker(machine, []);

			await alert("HOST_RECOVERED");
			await live.stop();
			expect((await fleet.workers(site))[0]?.host?.state).toBe("MONITORING");
		},
		testMs,
	);

	test(
		"S4: revokeWorker closes the worker's socket with 4423 at once, and its heartbeats stop for good",
		async () => {
			using machine = new Machine();
			await using worker = await enrolled(fleet, site, machine, await fleet.site(site));
			const [found] = await fleet.workers(site);
			await fleet.decide("revokeWorker", found?.id ?? "");

			expect(await soon("the close", worker.line("worker.disconnected"))).toMatchObject({ code: 4423 });

			const key = machine.read(".MUSTER_WORKER_API_KEY");
			const beat = await fetch(`${fleet.server.url}/graphql`, {
				method: "POST",
				headers: { "content-type": "application/json", authorization: `Bearer ${key}`, "muster-worker-id": keptId(machine) },
				body: JSON.stringify({ query: "mutation { heartbeat { nextInSeconds } }" }),
			});
			expect(await beat.json()).toMatchObject({ errors: [{ extensions: { code: "UNAUTHENTICATED" } }] });
			const silent = await until("five heartbeats that did not come", async () => {
				const [revoked] = await fleet.workers(site);
				return Date.now() - Date.parse(revoked?.lastHeartbeatAt ?? "") > 5_000 ? revoked : undefined;
			});
			expect(silent.state).toBe("REVOKED");
			expect(worker.child.exitCode).toBeNull();
		},
		testMs,
	);

	test(
		"S8: a held worker receives its credential after approveWorker, without a restart",
		async () => {
			using machine = new Machine();
			const key = await fleet.site(site, "REQUIRE_APPROVAL");
			await using worker = await runWorker(machine, [], fleet.settings(site, key));
			expect(await soon("the hold", worker.line("enrollment.held"))).toMatchObject({ reason: "APPROVAL_REQUIRED" });
			expect(machine.files()).not.toContain(".MUSTER_WORKER_API_KEY");
			const [held] = await fleet.workers(site);
			expect(held?.state).toBe("PENDING");
			await fleet.decide("approveWorker", held?.id ?? "");

			await soon("the connection", worker.line("worker.connected"));

			expect(await fleet.workers(site)).toEqual([expect.objectContaining({ id: held?.id ?? "", state: "ACTIVE" })]);
		},
		testMs,
	);

	test(
		"G6: the API key stands neither on the wire of the enroll call nor in the server's log at its most talkative",
		async () => {
			using machine = new Machine();
			const siteKey = await fleet.site(site);
			await using wire = await Wiretap.between(fleet.server.url);
			const settings = { ...fleet.settings(site, siteKey), MUSTER_URL: wire.url };
			await using worker = await runWorker(machine, ["enroll"], settings);
			expect(await soon("the enrollment", worker.exited)).toBe(0);

			const apiKey = machine.read(".MUSTER_WORKER_API_KEY");
			expect(apiKey).toStartWith("mst_worker_");
			expect(wire.heard).toContain("sealedApiKey");
			expect(wire.heard).toContain(siteKey);
			expect(wire.heard).not.toContain(apiKey);
			for (const secret of [apiKey, siteKey]) expect(fleet.server.stderr()).not.toContain(secret);
		},
		testMs,
	);
});

/** Passes bytes between the worker and the server and keeps what it hears. */
class Wiretap implements AsyncDisposable {
	heard = "";
	readonly #server: Server;
	readonly #target: URL;

	private constructor(target: URL) {
		this.#target = target;
		this.#server = createServer((near) => {
			const far = connect(Number(this.#target.port), this.#target.hostname);
			for (const [from, to] of [
				[near, far],
				[far, near],
			] as const) {
				from.on("data", (bytes: Buffer) => (this.heard += bytes.toString("latin1")));
				from.on("error", () => to.destroy());
				from.pipe(to);
			}
		});
	}

	static async between(url: string): Promise<Wiretap> {
		const tap = new Wiretap(new URL(url));
		await new Promise<void>((resolve) => tap.#server.listen(0, "127.0.0.1", resolve));
		return tap;
	}

	get url(): string {
		const address = this.#server.address();
		return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await new Promise((resolve) => this.#server.close(resolve));
	}
}
