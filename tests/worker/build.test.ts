import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { buildWorker, fileSha256, outputPath } from "../../worker/build.ts";
import { Machine, root, runWorker, RunningWorker, workerBinary } from "./support.ts";

const secondsForSlowMachines = 120_000;

test(
	"G3: the same sources give the same bytes, wherever the checkout lies and whatever the environment says",
	async () => {
		const elsewhere = mkdtempSync(join(tmpdir(), "muster-build-"));
		const formerOptions = process.env.BUN_OPTIONS;
		try {
			const [one, other] = [join(elsewhere, "one"), join(elsewhere, "some", "where", "else")];
			const [here, there] = [outputPath(one, undefined), join(other, "out", "muster-worker")];
			for (const checkout of [one, other]) copyWorkerSources(checkout);
			await buildWorker(one, undefined, here);
			process.env.BUN_OPTIONS = "--no-such-option";
			await buildWorker(other, undefined, there);

			expect(await fileSha256(there)).toBe(await fileSha256(here));
			expect(readdirSync(dirname(there))).toEqual(["muster-worker"]);
		} finally {
			if (formerOptions === undefined) delete process.env.BUN_OPTIONS;
			else process.env.BUN_OPTIONS = formerOptions;
			rmSync(elsewhere, { recursive: true, force: true });
		}
	},
	secondsForSlowMachines,
);

test(
	"G3: the version of package.json is baked in",
	async () => {
		using machine = new Machine();
		const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
		await using worker = await runWorker(machine, ["version"]);

		expect(await worker.exited).toBe(0);

		expect(worker.stdout).toBe(`${version}\n`);
	},
	secondsForSlowMachines,
);

test("G3: each target has its own place under dist", () => {
	expect(outputPath("/r", "linux-arm64-musl")).toBe(join("/r", "dist", "linux-arm64-musl", "muster-worker"));
	expect(outputPath("/r", "windows-x64")).toBe(join("/r", "dist", "windows-x64", "muster-worker.exe"));
});

test(
	"npm run worker passes arguments, signals and the exit code on",
	async () => {
		await workerBinary();
		await using plane = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("given");
		const env = {
			HOME: machine.root,
			MUSTER_METRICS_PORT: "off",
			MUSTER_STATE_DIR: machine.stateDir,
			MUSTER_WORKER_ID: workerId,
			MUSTER_WORKER_API_KEY: apiKey,
		};
		const command = [join(root, "scripts", "worker.ts"), "run", "--url", plane.url, "--log-format", "json"];
		const child = spawn(process.execPath, command, { env: { PATH: process.env.PATH ?? "", ...env }, stdio: ["ignore", "pipe", "pipe"] });
		await using worker = new RunningWorker(child);
		await plane.until(() => plane.beats.length >= 1);
		worker.child.kill("SIGTERM");

		expect(await worker.exited).toBe(0);

		expect(worker.lastWords).toMatchObject({ message: "worker.stopped", exitCode: 0 });
	},
	secondsForSlowMachines,
);

/** All that the worker is made of, and nothing that is beside it in the checkout. */
function copyWorkerSources(to: string): void {
	for (const path of ["worker", "src/engine", "src/lib", "src/protocol", "package.json", "tsconfig.json"])
		cpSync(join(root, path), join(to, path), { recursive: true });
	for (const name of ["graphql-ws", "valibot", "@hpke", "@logtape", "smol-toml", "ipaddr.js"]) {
		mkdirSync(join(to, "node_modules"), { recursive: true });
		cpSync(join(root, "node_modules", name), join(to, "node_modules", name), { recursive: true, dereference: true });
	}
}
