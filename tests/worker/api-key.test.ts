import { expect, test } from "bun:test";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const ownText = "an admin's own key, with blanks: ~";

test.each([
	["a key of ours, without a name", undefined, {}, {}],
	["the admin's own text, without a name", ownText, {}, {}],
	["the admin's own text and a name", ownText, { MUSTER_WORKER_NAME: "given" }, { nodeName: "given" }],
] as const)(
	"A12: with an id and %s the worker reports without enrolling, and says no name but the given one",
	async (_, own, named, shown) => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("given", own);
		const env = { MUSTER_SERVER_ADDR: plane.url.replace("http://", ""), MUSTER_WORKER_ID: workerId, MUSTER_WORKER_API_KEY: apiKey };
		await using worker = await runWorker(machine, [], { ...env, ...named });

		await plane.until(() => plane.beats.length >= 1);

		expect(plane.enrollCalls).toHaveLength(0);
		expect(plane.connections).toEqual([{ workerId, apiKey, ...shown, protocolVersion: 1 }]);
		expect(JSON.stringify(worker.lines)).not.toContain(apiKey);
	},
	secondsForSlowMachines,
);

test(
	"A12: the admin's own text is taken over HTTP too, where a credential that the socket doubted is checked",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("given", ownText);
		const env = { MUSTER_SERVER_ADDR: plane.url, MUSTER_WORKER_ID: workerId, MUSTER_WORKER_API_KEY: apiKey };
		await using worker = await runWorker(machine, [], env);
		await plane.until(() => plane.beats.length >= 1);
		plane.closeSockets(4403, "forbidden");

		await plane.until(() => plane.takenChecks >= 1);

		expect(worker.child.exitCode).toBeNull();
	},
	secondsForSlowMachines,
);

test(
	"A12: settings beat the state directory: the worker runs as the configured one, says so, and leaves the kept pair alone",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		machine.write(".MUSTER_WORKER_ID", "wrk_kept\n");
		machine.write(".MUSTER_WORKER_API_KEY", "kept key\n");
		const { workerId, apiKey } = plane.createWorker("given");
		const env = { MUSTER_SERVER_ADDR: plane.url, MUSTER_WORKER_ID: workerId, MUSTER_WORKER_API_KEY: apiKey };
		await using worker = await runWorker(machine, [], env);

		await plane.until(() => plane.beats.length >= 1);

		expect(plane.beats[0]?.workerId).toBe(workerId);
		const line = await worker.line("credential.ignored");
		expect([line.workerId, line.why]).toEqual(["wrk_kept", expect.stringContaining(`worker "${workerId}"`)]);
		expect(machine.read(".MUSTER_WORKER_ID")).toBe("wrk_kept");
	},
	secondsForSlowMachines,
);

test(
	"A16: MUSTER_WORKER_ID alone beside the kept pair of another worker is refused, naming both ids, with 78; beside its own pair it is no mistake",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("kept");
		machine.write(".MUSTER_WORKER_ID", `${workerId}\n`);
		machine.write(".MUSTER_WORKER_API_KEY", `${apiKey}\n`);
		await using other = await runWorker(machine, [], { MUSTER_URL: plane.url, MUSTER_WORKER_ID: "edge-7" });

		expect(await other.exited).toBe(78);

		expect(other.lines).toHaveLength(1);
		expect(other.lastWords?.why).toMatch(new RegExp(`"edge-7" alone: the state directory holds worker "${workerId}"`));
		await using _own = await runWorker(machine, [], { MUSTER_URL: plane.url, MUSTER_WORKER_ID: workerId });
		await plane.until(() => plane.beats.length >= 1);
	},
	secondsForSlowMachines,
);

test(
	"A16: a kept key that no header can carry is refused with the remedy, with 74",
	async () => {
		using machine = new Machine();
		machine.write(".MUSTER_WORKER_ID", "wrk_1\n");
		machine.write(".MUSTER_WORKER_API_KEY", "one line\nand another\n");
		await using worker = await runWorker(machine, [], { MUSTER_URL: "http://127.0.0.1:9" });

		expect(await worker.exited).toBe(74);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toMatch(/WORKER_API_KEY.*remove both files and enroll again/);
	},
	secondsForSlowMachines,
);
