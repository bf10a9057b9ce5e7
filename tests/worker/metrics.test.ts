import { expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type ControlPlane, startControlPlane } from "../support/fakes/control-plane.ts";
import { until } from "../support/until.ts";
import { Machine, type RunningWorker, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;

/** Holds a port on the given address until disposed of. */
async function heldPort(host: string): Promise<AsyncDisposable & { readonly port: number }> {
	const server: Server = createServer();
	await new Promise<void>((resolve) => server.listen(0, host, resolve));
	const { port } = server.address() as AddressInfo;
	return { port, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) };
}

async function freePort(): Promise<number> {
	await using held = await heldPort("0.0.0.0");
	return held.port;
}

function settingsOf(plane: ControlPlane, port: number): Readonly<Record<string, string>> {
	const key = plane.mintKey("enroll");
	// Without Docker, whose absence or closed door the worker would tell besides.
	const own = { MUSTER_WORKER_NAME: "edge-1", MUSTER_METRICS_PORT: String(port), MUSTER_DOCKER_SOCKET: "off" };
	return { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: key, ...own };
}

interface HealthReply {
	readonly code: number;
	readonly status: string;
	readonly state: string;
	readonly pid: number;
	readonly reason: string | null;
}

/** Asks `/healthz`; undefined while nobody listens. */
async function health(port: number): Promise<HealthReply | undefined> {
	try {
		const response = await fetch(`http://127.0.0.1:${port}/healthz`);
		const text = await response.text();
		expect(text.split("\n")).toHaveLength(2);
		return { code: response.status, ...(JSON.parse(text) as Omit<HealthReply, "code">) };
	} catch {
		return undefined;
	}
}

/** The value of a series; undefined when there is none. */
async function metric(port: number, series: string): Promise<number | undefined> {
	const response = await fetch(`http://127.0.0.1:${port}/metrics`);
	const text = await response.text();
	const line = text.split("\n").find((one) => one.startsWith(`${series} `));
	return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test(
	"H16: /healthz is 503 while an operator decides and 200 once heartbeats are answered; the metrics rise with each",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const port = await freePort();
		plane.holding = true;
		await using worker = await runWorker(machine, [], settingsOf(plane, port));
		await until("an enrollment is held", async () => (await health(port))?.state === "pending");
		expect(await health(port)).toMatchObject({
			code: 503,
			status: "unavailable",
			pid: worker.child.pid,
			reason: expect.stringContaining("operator"),
		});
		expect(await metric(port, "muster_worker_enrolled")).toBe(0);
		plane.holding = false;

		await until("/healthz is 200", async () => (await health(port))?.code === 200);
		const sent = (await metric(port, "muster_worker_heartbeats_sent_total")) ?? 0;
		await until("heartbeats rise", async () => ((await metric(port, "muster_worker_heartbeats_sent_total")) ?? 0) > sent + 2);

		expect(await health(port)).toMatchObject({ status: "ok", state: "connected", reason: null });
		expect(await metric(port, "muster_worker_enrolled")).toBe(1);
		expect(await metric(port, "muster_worker_connected")).toBe(1);
		expect(await metric(port, "muster_worker_heartbeats_failed_total")).toBe(0);
		expect(await metric(port, 'muster_worker_enroll_refusals_total{reason="revoked"}')).toBe(0);
		expect(Math.abs(((await metric(port, "muster_worker_last_heartbeat_timestamp_seconds")) ?? 0) * 1_000 - Date.now())).toBeLessThan(
			30_000,
		);
		expect(await metric(port, 'muster_host_disk_size_bytes{directory="state"}')).toBeGreaterThan(0);
		if (process.platform === "linux") {
			expect(await metric(port, "muster_host_memory_available_bytes")).toBeGreaterThan(0);
			expect(await metric(port, "muster_host_boot_time_seconds")).toBeGreaterThan(1_000_000_000);
			expect(await metric(port, "muster_host_load15")).toBeGreaterThanOrEqual(0);
		}
	},
	secondsForSlowMachines,
);

test(
	"H16: a server that goes away turns /healthz to 503, its return is a reconnect, and no key or id shows anywhere",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const port = await freePort();
		await using _worker = await runWorker(machine, [], settingsOf(plane, port));
		await until("/healthz is 200", async () => (await health(port))?.code === 200);
		await plane.stop();
		await until("/healthz is 503", async () => (await health(port))?.code === 503);
		expect(await metric(port, "muster_worker_connected")).toBe(0);
		await plane.start();

		await until("/healthz is 200", async () => (await health(port))?.code === 200);

		expect(await metric(port, "muster_worker_reconnects_total")).toBeGreaterThanOrEqual(1);
		const pages = await Promise.all(["metrics", "healthz"].map(async (path) => (await fetch(`http://127.0.0.1:${port}/${path}`)).text()));
		for (const secret of [machine.read(".MUSTER_WORKER_API_KEY"), machine.read(".MUSTER_WORKER_ID"), plane.url]) {
			expect(pages.join("")).not.toContain(secret);
		}
	},
	secondsForSlowMachines,
);

test.each(["0.0.0.0", "127.0.0.1"])(
	"H16: a port taken on %s ends the worker with 78 and the names of port and variable, before it enrolls; the state directory is free again",
	async (host) => {
		await using plane = await startControlPlane();
		await using held = await heldPort(host);
		using machine = new Machine();
		await using worker = await runWorker(machine, [], settingsOf(plane, held.port));

		expect(await worker.exited).toBe(78);

		expect(worker.lines.filter(({ message }) => message === "worker.stopped")).toHaveLength(1);
		expect(worker.lastWords?.why).toContain(`port ${held.port}`);
		expect(worker.lastWords?.why).toContain("MUSTER_METRICS_PORT");
		expect(plane.enrollCalls).toEqual([]);
		expect(machine.files()).not.toContain("worker.lock");
	},
	secondsForSlowMachines,
);

test(
	"H16: two workers on one machine do not share a port",
	async () => {
		await using plane = await startControlPlane();
		using one = new Machine();
		using other = new Machine();
		const port = await freePort();
		await using _first = await runWorker(one, [], settingsOf(plane, port));
		await until("/healthz is 200", async () => (await health(port))?.code === 200);
		await using second = await runWorker(other, [], settingsOf(plane, port));

		expect(await second.exited).toBe(78);
	},
	secondsForSlowMachines,
);

test.each(["SIGTERM", "SIGINT"] as const)(
	"H16: %s closes the port in less than two seconds, though scrapers hold connections open",
	async (signal) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const port = await freePort();
		await using worker = await runWorker(machine, [], settingsOf(plane, port));
		await until("/healthz is 200", async () => (await health(port))?.code === 200);
		const startedMs = performance.now();
		worker.child.kill(signal);

		expect(await worker.exited).toBe(0);

		expect(performance.now() - startedMs).toBeLessThan(20_000);
		expect(await health(port)).toBeUndefined();
	},
	secondsForSlowMachines,
);

test(
	"H16: other paths are 404, other methods 405; enroll opens no port; status shows what the worker says",
	async () => {
		await using plane = await startControlPlane();
		await using held = await heldPort("0.0.0.0");
		using machine = new Machine();
		await using enrolling = await runWorker(machine, ["enroll"], settingsOf(plane, held.port));
		expect(await enrolling.exited).toBe(0);
		const port = await freePort();
		await using _worker: RunningWorker = await runWorker(machine, [], { MUSTER_METRICS_PORT: String(port) });
		await until("/healthz is 200", async () => (await health(port))?.code === 200);
		await using status = await runWorker(machine, ["status", "--format", "json"], { MUSTER_METRICS_PORT: String(port) });
		expect(await status.exited).toBe(0);

		expect(JSON.parse(status.stdout)).toMatchObject({ running: true, reporting: true, trouble: null, lastHeartbeat: expect.any(String) });
		expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
		expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: "POST", body: "x" })).status).toBe(405);
		const page = await fetch(`http://127.0.0.1:${port}/metrics?x=1`);
		expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
	},
	secondsForSlowMachines,
);
