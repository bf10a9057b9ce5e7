import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const token = "mst_enroll_a7659f35fa8f_d52364996e53eee765f20335f9cc27770d70c051c616ff183ad0a5650c8ddbff4008f591";

/** Writes ~/.muster/config.toml of a machine, for the owner only unless told otherwise; returns its path. */
function writeToml(machine: Machine, text: string, mode = 0o600): string {
	const dir = join(machine.root, ".muster");
	mkdirSync(dir, { recursive: true, mode: 0o700 });
	const path = join(dir, "config.toml");
	writeFileSync(path, text);
	chmodSync(path, mode);
	return path;
}

test(
	"B7 A9: the worker enrolls by its file alone; the key may then be taken out of it, and later starts report all the same",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const rest = `url = "${plane.url}"\nworker-name = "edge-1"\n\n[labels]\nrack = 7\n`;
		writeToml(machine, `enroll_token = "${plane.mintKey("enroll")}"\n${rest}`);
		await using first = await runWorker(machine, ["enroll"]);
		expect(await first.exited).toBe(0);
		expect(plane.enrollCalls[0]?.worker).toMatchObject({ name: "edge-1", labels: [{ key: "rack", value: "7" }] });
		writeToml(machine, rest);
		await using later = await runWorker(machine, []);

		await plane.until(() => plane.beats.length >= 1);

		expect(plane.enrollCalls).toHaveLength(1);
		later.child.kill("SIGTERM");
		expect(await later.exited).toBe(0);
	},
	secondsForSlowMachines,
);

test(
	"B7: a variable beats the file; --config names another file, which has to be there",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		writeToml(machine, 'url = "http://127.0.0.1:9"\nworker_name = "file"\n');
		const other = join(machine.root, "other.toml");
		writeFileSync(other, `enroll_token = "${plane.mintKey("enroll")}"\nworker_name = "other"\n`, { mode: 0o600 });
		await using worker = await runWorker(machine, ["enroll", "--config", other], { MUSTER_URL: plane.url });
		expect(await worker.exited).toBe(0);
		expect(plane.enrollCalls[0]?.worker.name).toBe("other");
		rmSync(other);
		await using without = await runWorker(machine, ["--config", other]);

		expect(await without.exited).toBe(78);

		expect(without.lines.map((line) => line.why)).toEqual([expect.stringContaining(`Cannot read --config "${other}"`)]);
	},
	secondsForSlowMachines,
);

test(
	"B7: without a home directory there is no file of one's own: an empty HOME does not mean wherever the worker is started, and no HOME is no fault",
	async () => {
		using machine = new Machine();
		writeToml(machine, "colour = 1\n", 0o644);
		await using worker = await runWorker(machine, ["status"], { HOME: "" });
		expect(await worker.exited).toBe(1);
		if (process.getuid?.() !== 0) return;
		// A user without an entry, as in containers.
		await using nameless = await runWorker(machine, ["--print-config"], { HOME: "" }, { uid: 54_321 });
		expect(await nameless.exited).toBe(0);
		// A home that is closed to the worker's user, as systemd's ProtectHome makes it.
		chmodSync(join(machine.root, ".muster"), 0o700);
		await using locked = await runWorker(machine, ["--print-config"], {}, { uid: 54_321 });

		expect(await locked.exited).toBe(0);

		for (const { stdout } of [nameless, locked]) expect(stdout).toStartWith("configuration file: none\n");
	},
	secondsForSlowMachines,
);

test(
	"B7: everything wrong with the file is told at once, with 78, and none of its secrets",
	async () => {
		using machine = new Machine();
		const path = writeToml(machine, `enroll_token = "${token}"\nenrol_token = "${token}"\nsite_code = 7\nlog_level = "loud"\n`, 0o644);
		await using worker = await runWorker(machine, []);

		expect(await worker.exited).toBe(78);

		expect(worker.lines.map((line) => line.why)).toEqual([
			expect.stringContaining("did you mean enroll_token?"),
			expect.stringContaining('"site_code"'),
			expect.stringContaining(`run chmod 600 ${path}`),
			expect.stringContaining('"log_level"'),
		]);
		expect(JSON.stringify(worker.lines)).not.toContain("d52364996e53");
	},
	secondsForSlowMachines,
);

test(
	"B7: a syntax error is told with line and column, with 78",
	async () => {
		using machine = new Machine();
		const path = writeToml(machine, 'url = "http://a"\nworker_name = edge-1\n');
		await using worker = await runWorker(machine, []);

		expect(await worker.exited).toBe(78);

		expect(worker.lines.map((line) => line.why)).toEqual([expect.stringContaining(`Cannot read "${path}": line 2, column 15: `)]);
	},
	secondsForSlowMachines,
);

test(
	"B7: --print-config shows values and origins on stdout, secrets masked, starts nothing, and ends with 0, or with 78 and the problems",
	async () => {
		using machine = new Machine();
		writeToml(machine, `enroll_token = "${token}"\nurl = "http://a"\n`);
		await using right = await runWorker(machine, ["--print-config", "--worker-name", "edge-1"]);
		expect(await right.exited).toBe(0);
		await using wrong = await runWorker(machine, ["run", "--print-config"], { MUSTER_LOG_LEVEL: "loud" });

		expect(await wrong.exited).toBe(78);

		expect(right.lines).toEqual([]);
		expect(right.stdout).toMatch(/^MUSTER_ENROLL_TOKEN +mst_enroll_a7659f35fa8f_\[secret\] +enroll_token in /m);
		expect(right.stdout).toMatch(/^MUSTER_WORKER_NAME +"edge-1" +flag --worker-name$/m);
		expect(wrong.stdout).toMatch(/^MUSTER_LOG_LEVEL +"loud" +variable MUSTER_LOG_LEVEL$/m);
		expect(wrong.lines.map((line) => line.why)).toEqual([expect.stringContaining("MUSTER_LOG_LEVEL")]);
		expect(right.stdout + wrong.stdout).not.toContain("d52364996e53");
		expect(() => machine.files()).toThrow("ENOENT");
	},
	secondsForSlowMachines,
);

test(
	"B7: SIGHUP reads the file again: the log at once, the address at the next connection; what cannot change is told, a wrong file changes nothing",
	async () => {
		await using plane = await startControlPlane();
		await using moved = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("edge-1");
		// The same worker with the same key, as after a server's move.
		moved.createWorker("edge-1", apiKey);
		const file = (address: string, more: string) =>
			`worker_id = "${workerId}"\nworker_api_key = "${apiKey}"\nserver_addr = "${address}"\n${more}`;
		writeToml(machine, file(plane.url, 'log_level = "warn"\n'));
		await using worker = await runWorker(machine, []);
		await plane.until(() => plane.beats.length >= 1);

		writeToml(machine, 'log_level = "loud"\n');
		worker.child.kill("SIGHUP");
		expect((await worker.line("config.refused")).why).toContain("goes on with its former configuration");
		const before = plane.beats.length;
		await plane.until(() => plane.beats.length > before);
		expect(worker.lines.filter((line) => line.message === "worker.started")).toEqual([]);

		writeToml(machine, file(moved.url, 'log_level = "info"\nlog_format = "text"\nmetrics_port = 9200\nstate_dir = "/elsewhere"\n'));
		worker.child.kill("SIGHUP");
		const read = await worker.line("config.read");
		expect(read.taken).toEqual(["MUSTER_SERVER_ADDR", "MUSTER_LOG_LEVEL"]);
		plane.closeSockets(1001, "moving");
		await moved.until(() => moved.beats.length >= 1);

		worker.child.kill("SIGTERM");
		expect(await worker.exited).toBe(0);
		expect(worker.lastWords?.message).toBe("worker.stopped");
		// MUSTER_STATE_DIR and MUSTER_METRICS_PORT are variables here and beat the file: nothing changed about them.
		expect(worker.lines.some((line) => line.message === "config.not_taken")).toBe(false);
	},
	secondsForSlowMachines,
);

test(
	"B7: SIGHUP tells what a running worker cannot take over, with the remedy",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const file = (name: string) => `url = "${plane.url}"\nworker_name = "${name}"\nenroll_token = "${plane.mintKey("enroll")}"\n`;
		writeToml(machine, file("edge-1"));
		await using worker = await runWorker(machine, []);
		await plane.until(() => plane.beats.length >= 1);
		writeToml(machine, file("edge-2"));
		worker.child.kill("SIGHUP");

		const line = await worker.line("config.not_taken", ({ setting }) => setting === "MUSTER_WORKER_NAME");

		expect(line.why).toContain("an enrolled worker keeps what it enrolled with");
		expect(JSON.stringify(worker.lines)).not.toContain("mst_");
	},
	secondsForSlowMachines,
);

test(
	"H14: the same volume resumes without enrolling; without it the used host token ends with 77, and the last line says what was lost and what is needed",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const secrets = { MUSTER_ENROLL_TOKEN: plane.mintKey("host"), MUSTER_SHARED_SECRET: "s".repeat(32) };
		const env = { ...secrets, MUSTER_URL: plane.url, MUSTER_WORKER_NAME: "edge-1" };
		await using first = await runWorker(machine, ["enroll"], env);
		expect(await first.exited).toBe(0);
		await using again = await runWorker(machine, ["enroll"], env);
		expect(await again.exited).toBe(0);
		expect(plane.enrollCalls).toHaveLength(1);
		rmSync(machine.stateDir, { recursive: true });
		plane.mishaps.push({ kind: "refuse", reason: "already_consumed" });
		await using lost = await runWorker(machine, [], env);

		expect(await lost.exited).toBe(77);

		expect(lost.lastWords).toMatchObject({ message: "worker.stopped", reason: "already_consumed", exitCode: 77 });
		expect(lost.lastWords?.why).toContain(`the state directory "${machine.stateDir}" is empty`);
		expect(lost.lastWords?.why).toContain("regenerateHostToken");
	},
	secondsForSlowMachines,
);
