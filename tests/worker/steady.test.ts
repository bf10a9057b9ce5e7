import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type ControlPlane, startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, type RunningWorker, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;

/** Starts a worker that enrolls, and waits for its first heartbeat. */
async function steadyWorker(plane: ControlPlane, machine: Machine): Promise<RunningWorker> {
	const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
	const worker = await runWorker(machine, [], env);
	await plane.until(() => plane.beats.length >= 1);
	return worker;
}

test(
	"B6 H9: heartbeats carry one boot id, a growing sequence and the host's vital signs, at the interval the server asks for",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using _worker = await steadyWorker(plane, machine);

		await plane.until(() => plane.beats.length >= 4);

		expect(plane.connections).toEqual([
			{ workerId: "wrk_1", apiKey: machine.read(".MUSTER_WORKER_API_KEY"), nodeName: "edge-1", protocolVersion: 1 },
		]);
		expect(plane.beats.slice(0, 4).map((beat) => beat.sequence)).toEqual([1, 2, 3, 4]);
		expect(new Set(plane.beats.map((beat) => beat.bootId)).size).toBe(1);
		expect(plane.beats[0]?.memoryUsedBytes).toBeGreaterThan(0);
		expect(plane.beats[0]?.uptimeSeconds).toBeGreaterThan(0);
	},
	secondsForSlowMachines,
);

test(
	"A9: a restart needs neither secret nor enrollment, nor any setting but the state directory",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using first = await steadyWorker(plane, machine);
		first.child.kill("SIGTERM");
		expect(await first.exited).toBe(0);
		const formerBoot = plane.beats[0]?.bootId;
		await using _second = await runWorker(machine, []);

		await plane.until(() => plane.beats.some((beat) => beat.bootId !== formerBoot));

		expect(plane.enrollCalls).toHaveLength(1);
	},
	secondsForSlowMachines,
);

test(
	"H5: the address in the enroll reply is where the worker reports, after enrolling elsewhere",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.serverAddress = plane.url.replace("http://127.0.0.1", "localhost");
		await using worker = await steadyWorker(plane, machine);
		worker.child.kill("SIGTERM");
		expect(await worker.exited).toBe(0);

		const { server } = JSON.parse(machine.read("server.json")) as { readonly server: { readonly address: string } };
		expect(server.address).toStartWith("localhost:");
	},
	secondsForSlowMachines,
);

test(
	"H9: after the server's restart the worker reports again by itself, and says so in one line each",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using worker = await steadyWorker(plane, machine);
		await plane.stop();
		await worker.line("worker.disconnected");
		const before = plane.beats.length;
		await plane.start();

		await plane.until(() => plane.beats.length > before);

		expect(plane.connections).toHaveLength(2);
		expect(worker.lines.filter((line) => line.message === "worker.disconnected")).toHaveLength(1);
		expect(plane.enrollCalls).toHaveLength(1);
	},
	secondsForSlowMachines,
);

test(
	"B6: a refusal of the credential is checked over HTTP and not believed at once: the worker stays, and keeps its only key",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using worker = await steadyWorker(plane, machine);
		plane.closeSockets(4423, "revoked");

		expect(await worker.line("worker.disconnected")).toMatchObject({ code: 4423 });

		await plane.until(() => plane.checks >= 1);
		expect(worker.child.exitCode).toBeNull();
		expect(machine.read(".MUSTER_WORKER_ID")).toBe("wrk_1");
	},
	secondsForSlowMachines,
);

test.each(["SIGTERM", "SIGINT"] as const)(
	"A16: %s ends a reporting worker with 0 in less than two seconds, closes its socket and frees the state directory",
	async (signal) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using worker = await steadyWorker(plane, machine);
		const startedMs = performance.now();
		worker.child.kill(signal);

		expect(await worker.exited).toBe(0);

		expect(performance.now() - startedMs).toBeLessThan(2_000);
		expect(worker.lastWords).toMatchObject({ message: "worker.stopped", exitCode: 0, why: `${signal} received` });
		expect(machine.files()).not.toContain("worker.lock");
		await plane.until(() => plane.openSockets === 0);
	},
	secondsForSlowMachines,
);

test(
	"A16: SIGTERM ends a worker that still waits for its enrollment with 0, and its enrollment id stays for the next start",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.mishaps.push({ kind: "stall" });
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, [], env);
		await plane.until(() => plane.enrollCalls.length === 1);
		worker.child.kill("SIGTERM");

		expect(await worker.exited).toBe(0);

		const pending = JSON.parse(readFileSync(`${machine.stateDir}/pending-enrollment.json`, "utf8")) as { readonly enrollmentId: string };
		expect(pending.enrollmentId).toBe(String(plane.enrollCalls[0]?.enrollmentId));
	},
	secondsForSlowMachines,
);
