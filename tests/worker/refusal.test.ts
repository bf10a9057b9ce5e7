import { expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const token = "mst_enroll_a7659f35fa8f_d52364996e53eee765f20335f9cc27770d70c051c616ff183ad0a5650c8ddbff4008f591";
const enrollable = { MUSTER_URL: "http://127.0.0.1:9", MUSTER_ENROLL_TOKEN: token, MUSTER_WORKER_NAME: "edge-1" };
const nobody = 65_534;

test.each([
	["MUSTER_ENROLL_TOKEN", "MUSTER_WORKER_API_KEY", { MUSTER_WORKER_ID: "wrk_1", MUSTER_WORKER_API_KEY: "given" }],
	["MUSTER_ENROLL_TOKEN", "MUSTER_AUTO_ENROLLMENT_KEY", { MUSTER_AUTO_ENROLLMENT_KEY: "auto-enroll-secret-of-32-letters" }],
] as const)(
	"A13: %s with %s is one configuration error that names the two variables, with 78",
	async (one, other, settings) => {
		using machine = new Machine();
		await using worker = await runWorker(machine, [], { ...enrollable, ...settings });

		expect(await worker.exited).toBe(78);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toContain(`${one} together with ${other}`);
		expect(JSON.stringify(worker.lines)).not.toContain(token);
		expect(JSON.stringify(worker.lines)).not.toContain("auto-enroll-secret");
	},
	secondsForSlowMachines,
);

test(
	"A16: MUSTER_WORKER_ID alone says that the API key is missing, with 78",
	async () => {
		using machine = new Machine();
		await using worker = await runWorker(machine, [], { MUSTER_URL: "http://127.0.0.1:9", MUSTER_WORKER_ID: "edge-7" });

		expect(await worker.exited).toBe(78);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toContain("MUSTER_WORKER_ID alone: MUSTER_WORKER_API_KEY is not set");
	},
	secondsForSlowMachines,
);

test(
	"A16: every problem of the configuration is told at once, one line each, with 78",
	async () => {
		using machine = new Machine();
		const env = { MUSTER_URL: "ftp://x", MUSTER_LABELS: "novalue", MUSTER_WORKER_NMAE: "edge-1", MUSTER_SHARED_SECRET_FILE: "/nowhere" };
		await using worker = await runWorker(machine, ["--log-levle", "debug"], env);

		expect(await worker.exited).toBe(78);

		expect(worker.lines.map((line) => line.why)).toEqual([
			expect.stringContaining("did you mean --log-level?"),
			expect.stringContaining("did you mean MUSTER_WORKER_NAME?"),
			expect.stringContaining("MUSTER_SHARED_SECRET_FILE"),
			expect.stringContaining("MUSTER_URL"),
			expect.stringContaining("MUSTER_LABELS"),
		]);
	},
	secondsForSlowMachines,
);

test(
	"A16: a worker without credential and settings names each missing one, with 78",
	async () => {
		using machine = new Machine();
		await using worker = await runWorker(machine, []);

		expect(await worker.exited).toBe(78);

		expect(worker.lines.map((line) => line.why)).toEqual([
			expect.stringContaining("MUSTER_URL is not set"),
			expect.stringMatching(/MUSTER_ENROLL_TOKEN is not set.* MUSTER_AUTO_ENROLLMENT_KEY; or MUSTER_WORKER_ID and MUSTER_WORKER_API_KEY/),
			expect.stringContaining("MUSTER_WORKER_NAME is not set"),
		]);
	},
	secondsForSlowMachines,
);

test(
	"A16: a state directory that other users can read is refused with the remedy, with 73",
	async () => {
		using machine = new Machine();
		mkdirSync(machine.stateDir, { mode: 0o755 });
		await using worker = await runWorker(machine, [], enrollable);

		expect(await worker.exited).toBe(73);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toContain(`run chmod 0700 ${machine.stateDir}`);
	},
	secondsForSlowMachines,
);

test(
	"A16: a state directory that cannot be written is told in one line, with 73",
	async () => {
		using machine = new Machine();
		mkdirSync(machine.stateDir, { mode: 0o500 });
		// Root may write anywhere: then another user runs the worker.
		const isRoot = process.getuid?.() === 0;
		if (isRoot) chownSync(machine.stateDir, nobody, nobody);
		chmodSync(machine.stateDir, 0o500);
		await using worker = await runWorker(machine, [], enrollable, isRoot ? { uid: nobody } : {});

		expect(await worker.exited).toBe(73);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toContain(machine.stateDir);
		expect(worker.lastWords?.why).toContain("MUSTER_STATE_DIR");
	},
	secondsForSlowMachines,
);

test.each([
	["one of the two files alone", { ".MUSTER_WORKER_ID": "wrk_1" }],
	[
		"an id and a key that were not stored together",
		{
			".MUSTER_WORKER_ID": "wrk_1",
			".MUSTER_WORKER_API_KEY": "another key",
			"server.json": JSON.stringify({
				version: 1,
				workerId: "wrk_1",
				keyDigest: "0".repeat(32),
				server: {
					hostId: "host_1",
					name: "a",
					askedName: "a",
					address: null,
					enrolledAt: "http://127.0.0.1:9/graphql",
					heartbeatSeconds: 1,
				},
			}),
		},
	],
] as const)(
	"A16: %s is refused with the remedy, with 74",
	async (_, files) => {
		using machine = new Machine();
		for (const [name, text] of Object.entries(files)) machine.write(name, text);
		await using worker = await runWorker(machine, [], enrollable);

		expect(await worker.exited).toBe(74);

		expect(worker.lines).toHaveLength(1);
		expect(worker.lastWords?.why).toMatch(/remove .* and enroll again/);
	},
	secondsForSlowMachines,
);

test(
	"A16: a second worker on one state directory refuses with 75, and the first goes on",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { ...enrollable, MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll") };
		await using first = await runWorker(machine, [], env);
		await plane.until(() => plane.beats.length >= 1);
		await using second = await runWorker(machine, [], env);

		expect(await second.exited).toBe(75);

		expect(second.lastWords?.why).toContain(`the worker with pid ${first.child.pid} uses it`);
		const before = plane.beats.length;
		await plane.until(() => plane.beats.length > before);
	},
	secondsForSlowMachines,
);

test(
	"A16: a killed worker's lock does not keep the next one out",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { ...enrollable, MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll") };
		await using killed = await runWorker(machine, [], env);
		await plane.until(() => plane.beats.length >= 1);
		killed.child.kill("SIGKILL");
		await killed.exited;
		await using next = await runWorker(machine, ["enroll"], env);

		expect(await next.exited).toBe(0);
	},
	secondsForSlowMachines,
);

test(
	"A16: status tells an enrolled host from another by its exit code, shows four characters of the key and the running pid",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		await using before = await runWorker(machine, ["status"]);
		expect(await before.exited).toBe(1);
		const env = { ...enrollable, MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll") };
		await using worker = await runWorker(machine, [], env);
		await plane.until(() => plane.beats.length >= 1);
		await using after = await runWorker(machine, ["status", "--format", "json"]);

		expect(await after.exited).toBe(0);

		const key = machine.read(".MUSTER_WORKER_API_KEY");
		expect(JSON.parse(after.stdout)).toEqual({
			enrolled: true,
			workerId: "wrk_1",
			name: "edge-1",
			keyHint: key.slice(-4),
			serverAddress: plane.url,
			stateDir: machine.stateDir,
			enrollingSince: null,
			pid: worker.child.pid,
			running: true,
			reporting: null,
			lastHeartbeat: null,
			docker: null,
			mesh: null,
			trouble: null,
		});
	},
	secondsForSlowMachines,
);

test(
	"G3: neither a .env nor a bunfig.toml where the worker is started changes what it does",
	async () => {
		using machine = new Machine();
		writeFileSync(join(machine.root, ".env"), "MUSTER_URL=http://127.0.0.1:9\n");
		writeFileSync(join(machine.root, "bunfig.toml"), 'preload = ["./hostile.ts"]\n');
		writeFileSync(join(machine.root, "hostile.ts"), 'console.log("hostile");\n');
		await using worker = await runWorker(machine, ["status"]);

		expect(await worker.exited).toBe(1);

		expect(worker.stdout).not.toContain("hostile");
		expect(worker.stdout).toMatch(/server: +-/);
	},
	secondsForSlowMachines,
);
