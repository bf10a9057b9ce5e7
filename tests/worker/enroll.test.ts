import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const sharedSecret = "a shared secret of more than 32 characters";

test(
	"A9 B6: a worker enrolls once, keeps its credential in the two files for itself alone, and enroll exits 0",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const key = plane.mintKey("enroll");
		await using worker = await runWorker(machine, ["enroll", "--labels", "zone=a,rack=7"], {
			MUSTER_URL: plane.url,
			MUSTER_ENROLL_TOKEN: key,
			MUSTER_WORKER_NAME: "edge-1",
		});

		expect(await worker.exited).toBe(0);

		const [call] = plane.enrollCalls;
		expect(plane.enrollCalls).toHaveLength(1);
		expect(call?.worker).toMatchObject({
			name: "edge-1",
			labels: [
				{ key: "zone", value: "a" },
				{ key: "rack", value: "7" },
			],
		});
		expect(call?.worker.machineUid).toMatch(/^[0-9a-f]{64}$/);
		expect(machine.read(".MUSTER_WORKER_ID")).toBe("wrk_1");
		expect(machine.read(".MUSTER_WORKER_API_KEY")).toStartWith("mst_worker_");
		expect(machine.modes()).toEqual({
			".": "700",
			".MUSTER_WORKER_API_KEY": "600",
			".MUSTER_WORKER_ID": "600",
			"server.json": "600",
		});
		expect(JSON.stringify(worker.lines)).not.toContain(key);
		expect(JSON.stringify(worker.lines)).not.toContain(machine.read(".MUSTER_WORKER_API_KEY"));
	},
	secondsForSlowMachines,
);

test.each([
	["a site key", "site", { MUSTER_SITE_CODE: "north", MUSTER_TENANT: "acme" }, { siteKey: { siteCode: "north", tenant: "acme" } }],
	["a host token", "host", { MUSTER_SHARED_SECRET: sharedSecret }, { hostToken: { sharedSecret } }],
] as const)(
	"H3 S3: the key's prefix alone tells the worker to enroll with %s",
	async (_, kind, env, credential) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const settings = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey(kind), MUSTER_NODE_NAME: "edge-1", ...env };
		await using worker = await runWorker(machine, ["enroll"], settings);

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls[0]?.credential).toMatchObject(credential);
	},
	secondsForSlowMachines,
);

test(
	"G6: a lost reply is fetched again with the same enrollment id and reply key, and gives the same credential",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "lose" }, { kind: "lose" });
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, ["enroll"], env);

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls.length).toBeGreaterThanOrEqual(3);
		expect(new Set(plane.enrollCalls.map((call) => `${call.enrollmentId} ${call.replyKey}`)).size).toBe(1);
		expect(await worker.line("worker.enrolled")).toMatchObject({ outcome: "REPLAYED", workerId: "wrk_1" });
	},
	secondsForSlowMachines,
);

test(
	"G6: a worker killed while it waits for the reply asks again after the restart with the same enrollment id",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "stall" });
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using killed = await runWorker(machine, ["enroll"], env);
		await plane.until(() => plane.enrollCalls.length === 1 && plane.mishaps.length === 0);
		killed.child.kill("SIGKILL");
		expect(await killed.exited).toBe("SIGKILL");
		await using worker = await runWorker(machine, ["enroll"], env);

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls[1]).toEqual(plane.enrollCalls[0]);
		expect(existsSync(join(machine.stateDir, "pending-enrollment.json"))).toBe(false);
	},
	secondsForSlowMachines,
);

test(
	"S8: a held worker asks again with the same enrollment id and is let in without a restart",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.holding = true;
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, [], env);
		expect(await worker.line("enrollment.held")).toMatchObject({ reason: "APPROVAL_REQUIRED", workerId: "wrk_held" });
		await plane.until(() => plane.enrollCalls.length >= 2);
		plane.holding = false;

		await plane.until(() => plane.beats.length >= 1);

		expect(new Set(plane.enrollCalls.map((call) => call.enrollmentId)).size).toBe(1);
	},
	secondsForSlowMachines,
);

test.each([
	["invalid_token", 77],
	["already_consumed", 77],
	["bad_request", 64],
] as const)(
	"A16: refused with %s, the worker says why in one line and exits %d",
	async (reason, code) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "refuse", reason });
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, [], env);

		expect(await worker.exited).toBe(code);

		expect(worker.lines.filter((line) => line.level === "ERROR")).toHaveLength(1);
		expect(worker.lastWords).toMatchObject({ message: "worker.stopped", exitCode: code, reason, why: `refused: ${reason}` });
	},
	secondsForSlowMachines,
);

test(
	"H8: told to wait, the worker asks again with the same enrollment id; replayed makes it take a new one, once",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "refuse", reason: "rate_limited", retryAfterSeconds: 0 }, { kind: "refuse", reason: "replayed" });
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, ["enroll"], env);

		expect(await worker.exited).toBe(0);

		const [first, second, third] = plane.enrollCalls.map((call) => call.enrollmentId);
		expect(second).toBe(String(first));
		expect(third).not.toBe(String(first));
	},
	secondsForSlowMachines,
);

test.each([
	["an address that is no Muster", { kind: "raw", status: 502, body: "<html>bad gateway</html>" }, /HTTP 502/],
	["a redirect", { kind: "raw", status: 302, body: "", headers: { location: "http://elsewhere/" } }, /redirects .* http:\/\/elsewhere\//],
] as const)(
	"A16: enroll against %s names status and address, and exits 75 once its time is over",
	async (_, mishap, why) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push(...Array.from({ length: 20 }, () => mishap));
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, ["enroll", "--timeout", "0.5"], env);

		expect(await worker.exited).toBe(75);

		expect(worker.lastWords?.why).toMatch(why);
		expect(worker.lastWords?.why).toContain(`${plane.url}/graphql`);
	},
	secondsForSlowMachines,
);

test(
	"A10: without the two files the worker enrolls again as the same worker",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using first = await runWorker(machine, ["enroll"], env);
		expect(await first.exited).toBe(0);
		const formerKey = machine.read(".MUSTER_WORKER_API_KEY");
		for (const name of [".MUSTER_WORKER_ID", ".MUSTER_WORKER_API_KEY"]) rmSync(join(machine.stateDir, name));
		await using again = await runWorker(machine, [], env);

		await plane.until(() => plane.beats.length >= 1);

		expect(await again.line("worker.enrolled")).toMatchObject({ outcome: "REUSED", workerId: "wrk_1" });
		expect(machine.read(".MUSTER_WORKER_API_KEY")).not.toBe(formerKey);
	},
	secondsForSlowMachines,
);

test(
	"S9: three workers on one machine with a machine-id file each count as three machines",
	async () => {
		await using plane = await startControlPlane();
		const key = plane.mintKey("enroll");
		for (const name of ["a", "b", "c"]) {
			using machine = new Machine();
			const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: key, MUSTER_WORKER_NAME: name };
			await using worker = await runWorker(machine, ["enroll"], env);
			expect(await worker.exited).toBe(0);
		}

		expect(new Set(plane.enrollCalls.map((call) => call.worker.machineUid)).size).toBe(3);
	},
	secondsForSlowMachines,
);
