import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type ControlPlane, startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const secret = "auto-enroll-secret-of-32-letters";
const dayMs = 86_400_000;

/** A fake control plane that lets in who proves the secret. */
async function startAutoPlane(tenant = "default"): Promise<ControlPlane> {
	const plane = await startControlPlane();
	plane.proofs.secrets.set(tenant, secret);
	return plane;
}

function envFor(plane: ControlPlane): Record<string, string> {
	return { MUSTER_URL: plane.url, MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_WORKER_NAME: "edge-1" };
}

/** All that the worker said, sent and kept. */
function traces(plane: ControlPlane, machine: Machine, lines: unknown): string {
	return JSON.stringify([lines, plane.enrollCalls, machine.files().map((name) => machine.read(name))]);
}

test(
	"A6 A9: a worker enrolls by proving the secret, for the tenant default; the secret is neither sent nor logged nor kept",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		await using worker = await runWorker(machine, ["enroll"], envFor(plane));

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls).toHaveLength(1);
		expect(plane.enrollCalls[0]?.credential).toEqual({
			autoEnrollment: { tenant: "default", nonce: expect.any(String), timestamp: expect.any(String), mac: expect.any(String) },
		});
		expect(machine.files()).toEqual([".MUSTER_WORKER_API_KEY", ".MUSTER_WORKER_ID", "server.json"]);
		expect(traces(plane, machine, worker.lines)).not.toContain(secret);
	},
	secondsForSlowMachines,
);

test(
	"A6: the secret may come from a file, and the tenant from MUSTER_TENANT",
	async () => {
		await using plane = await startAutoPlane("acme");
		using machine = new Machine();
		machine.write("secret", `${secret}\n`);
		const env = { MUSTER_URL: plane.url, MUSTER_WORKER_NAME: "edge-1", MUSTER_TENANT: "acme" };
		await using worker = await runWorker(machine, ["enroll", "--auto-enrollment-key-file", join(machine.stateDir, "secret")], env);

		expect(await worker.exited).toBe(0);
	},
	secondsForSlowMachines,
);

test.each([
	["behind", dayMs],
	["ahead", -dayMs],
])(
	"A6: a worker whose clock is a day %s of the server's enrolls in exactly two requests, and says which refusal it mended",
	async (_, offsetMs) => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		plane.clockOffsetMs = offsetMs;
		await using worker = await runWorker(machine, ["enroll"], envFor(plane));

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls).toHaveLength(2);
		expect(new Set(plane.enrollCalls.map((call) => `${call.enrollmentId} ${call.replyKey}`)).size).toBe(1);
		expect(await worker.line("enrollment.clock_corrected")).toMatchObject({ reason: "clock_skew", serverTime: expect.any(String) });
	},
	secondsForSlowMachines,
);

test(
	"A6 A16: a time that is refused twice ends the worker with 77 and one line with the remedy; its next start goes on with the same enrollment",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "refuse", reason: "clock_skew" }, { kind: "refuse", reason: "clock_skew" });
		await using worker = await runWorker(machine, [], envFor(plane));

		expect(await worker.exited).toBe(77);

		expect(plane.enrollCalls).toHaveLength(2);
		expect(worker.lines.filter((line) => line.level === "ERROR")).toHaveLength(1);
		expect(worker.lastWords).toMatchObject({ message: "worker.stopped", exitCode: 77, reason: "clock_skew" });
		expect(worker.lastWords?.why).toContain("correct this machine's clock");
		expect(traces(plane, machine, worker.lines)).not.toContain(secret);
		await using next = await runWorker(machine, ["enroll"], envFor(plane));
		expect(await next.exited).toBe(0);
		expect(new Set(plane.enrollCalls.map((call) => call.enrollmentId)).size).toBe(1);
	},
	secondsForSlowMachines,
);

test(
	"A6 G6: a lost reply is fetched again with the same enrollment id and a new nonce, and gives the same credential",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "lose" });
		await using worker = await runWorker(machine, ["enroll"], envFor(plane));

		expect(await worker.exited).toBe(0);

		expect(plane.enrollCalls.length).toBeGreaterThanOrEqual(2);
		expect(new Set(plane.enrollCalls.map((call) => call.enrollmentId)).size).toBe(1);
		expect(await worker.line("worker.enrolled")).toMatchObject({ outcome: "REPLAYED", workerId: "wrk_1" });
	},
	secondsForSlowMachines,
);

test(
	"A6: replayed makes a new nonce in the same enrollment, once; the second time the worker stops with 77",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "refuse", reason: "replayed" }, { kind: "refuse", reason: "replayed" });
		await using worker = await runWorker(machine, [], envFor(plane));

		expect(await worker.exited).toBe(77);

		const [first, second, ...more] = plane.enrollCalls;
		expect([more.length, second?.enrollmentId]).toEqual([0, first?.enrollmentId]);
		expect(second?.credential).not.toEqual(first?.credential);
		expect(await worker.line("enrollment.resigned")).toMatchObject({ reason: "replayed" });
		expect(worker.lastWords).toMatchObject({ reason: "replayed", exitCode: 77 });
	},
	secondsForSlowMachines,
);

test(
	"A6 A16: a wrong secret ends the worker with 77 and the refusal's code",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		await using worker = await runWorker(machine, [], { ...envFor(plane), MUSTER_AUTO_ENROLLMENT_KEY: secret.toUpperCase() });

		expect(await worker.exited).toBe(77);

		expect(plane.enrollCalls).toHaveLength(1);
		expect(worker.lastWords).toMatchObject({ message: "worker.stopped", reason: "bad_secret", exitCode: 77 });
	},
	secondsForSlowMachines,
);

test(
	"A7: MUSTER_WORKER_ID without an API key is the id that is asked for, and part of the proof; another machine's is refused with 77",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		const env = { ...envFor(plane), MUSTER_WORKER_ID: "edge-7" };
		await using worker = await runWorker(machine, ["enroll"], env);
		expect(await worker.exited).toBe(0);
		expect(machine.read(".MUSTER_WORKER_ID")).toBe("edge-7");
		using second = new Machine();
		await using refused = await runWorker(second, [], env);

		expect(await refused.exited).toBe(77);

		expect(refused.lastWords).toMatchObject({ reason: "worker_exists" });
	},
	secondsForSlowMachines,
);

test(
	"A10: without the two files the worker enrolls again as the same worker",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		await using first = await runWorker(machine, ["enroll"], envFor(plane));
		expect(await first.exited).toBe(0);
		for (const name of [".MUSTER_WORKER_ID", ".MUSTER_WORKER_API_KEY"]) rmSync(join(machine.stateDir, name));
		await using again = await runWorker(machine, [], envFor(plane));

		await plane.until(() => plane.beats.length >= 1);

		expect(await again.line("worker.enrolled")).toMatchObject({ outcome: "REUSED", workerId: "wrk_1" });
		expect(new Set(plane.enrollCalls.map((call) => call.worker.machineUid)).size).toBe(1);
	},
	secondsForSlowMachines,
);

test(
	"A9: with the kept pair neither secret nor enrollment is needed, and a secret that is still set is not used",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		await using first = await runWorker(machine, ["enroll"], envFor(plane));
		expect(await first.exited).toBe(0);
		await using second = await runWorker(machine, [], envFor(plane));
		await plane.until(() => plane.beats.length >= 1);
		second.child.kill("SIGTERM");
		expect(await second.exited).toBe(0);
		const before = plane.beats.length;
		await using _third = await runWorker(machine, []);
		await plane.until(() => plane.beats.length > before);

		expect(plane.enrollCalls).toHaveLength(1);
	},
	secondsForSlowMachines,
);

test(
	"A7 A9: the kept pair beats another requested id, and the worker says how to get that one",
	async () => {
		await using plane = await startAutoPlane();
		using machine = new Machine();
		await using first = await runWorker(machine, ["enroll"], envFor(plane));
		expect(await first.exited).toBe(0);
		await using worker = await runWorker(machine, [], { ...envFor(plane), MUSTER_WORKER_ID: "edge-7" });

		await plane.until(() => plane.beats.length >= 1);

		expect([plane.enrollCalls.length, plane.beats[0]?.workerId]).toEqual([1, "wrk_1"]);
		expect((await worker.line("requested_id.ignored")).why).toMatch(/enrolled as "wrk_1": to ask for "edge-7", remove .MUSTER_WORKER_ID/);
	},
	secondsForSlowMachines,
);
