import { expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Holder } from "../../../worker/lock.ts";
import { askWorker, formatStatus, readStatus, type Report } from "../../../worker/status.ts";

const holder: Holder = { version: 1, pid: 7, started: null, realm: null, nonce: "" };
const report: Report = {
	service: "muster-worker",
	pid: 7,
	status: "ok",
	lastHeartbeat: "2026-01-02T03:04:05.000Z",
	reason: null,
	docker: { up: false, reason: "not installed" },
};
const configured = { serverAddress: undefined, apiKey: undefined };

/** Something that answers on a port; silent when there is no body. */
async function answering(status: number, body: string | undefined): Promise<AsyncDisposable & { readonly port: number }> {
	const server: Server = createServer((_request, response) => {
		if (body !== undefined) response.writeHead(status).end(body);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		port: (server.address() as AddressInfo).port,
		[Symbol.asyncDispose]: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

test("H16: status asks the worker that runs, also one that is not well", async () => {
	await using well = await answering(200, JSON.stringify(report));
	await using unwell = await answering(503, JSON.stringify({ ...report, status: "unavailable", reason: "no server" }));

	expect(await askWorker(well.port, holder)).toEqual(report);
	expect(await askWorker(unwell.port, holder)).toMatchObject({ status: "unavailable", reason: "no server" });
});

test.each([
	["another worker", JSON.stringify({ ...report, pid: 8 })],
	["another program", "# HELP node_load1 1m load average."],
	["JSON of another program", '{"status":"ok"}'],
])("H16: status does not take %s on the port for the worker", async (_who, body) => {
	await using other = await answering(200, body);

	expect(await askWorker(other.port, holder)).toBeUndefined();
});

test("H16: status waits a second at most, and asks nobody when no worker runs or metrics are off", async () => {
	await using silent = await answering(200, undefined);
	const startedMs = performance.now();

	expect(await askWorker(silent.port, holder)).toBeUndefined();

	expect(performance.now() - startedMs).toBeLessThan(20_000);
	expect(await askWorker(undefined, holder)).toBeUndefined();
	expect(await askWorker(silent.port, undefined)).toBeUndefined();
	expect(await askWorker(silent.port, "unknown")).toBeUndefined();
});

test.each([
	["of a worker that reports", holder, report, "reporting:        yes\nlast heartbeat:   2026-01-02T03:04:05.000Z\n"],
	[
		"of one cut off",
		holder,
		{ ...report, status: "unavailable", lastHeartbeat: null, reason: "no server" } as const,
		"reporting:        no: no server\nlast heartbeat:   -\n",
	],
	[
		"of one that cannot be asked",
		holder,
		undefined,
		"reporting:        unknown: the worker does not answer on its metrics port\nlast heartbeat:   -\n",
	],
	["when none runs", undefined, undefined, "reporting:        -\nlast heartbeat:   -\n"],
] as const)("H16: the status %s says so", (_case, running, said, ending) => {
	expect(formatStatus(readStatus("/s", undefined, running, configured, said), "text")).toEndWith(ending);
});

test.each([
	[{ up: true, version: "29.1.0" }, "docker:           29.1.0\n"],
	[{ up: false, reason: "not installed" }, "docker:           no: not installed\n"],
	[null, "docker:           -\n"],
] as const)("H16: the status says whether the worker reaches Docker, and if not, why: %j", (docker, line) => {
	expect(formatStatus(readStatus("/s", undefined, holder, configured, { ...report, docker }), "text")).toContain(line);
});

test("H16: a worker of before Docker was looked at can still be asked", async () => {
	const { docker: _docker, ...older } = report;
	await using old = await answering(200, JSON.stringify(older));
	expect(await askWorker(old.port, holder)).toMatchObject({ status: "ok", docker: null });
});
