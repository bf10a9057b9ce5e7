/** What does the worker cost a host, beside prometheus-node-exporter and nebula from Debian: start, memory, CPU, size? */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { asAdmin, startMuster } from "../tests/support/muster.ts";
import { Machine, runWorker, workerBinary } from "../tests/worker/support.ts";

/** One program's figures; null: not measured. */
export interface Footprint {
	readonly program: string;
	/** From its start to the first heartbeat on the server (worker), or to the first answer (node exporter); median. */
	readonly startMs: number | null;
	readonly idleRssMiB: number;
	/** Of one core, over the idle time. */
	readonly idleCpuPercent: number;
	readonly binaryMiB: number;
	readonly gzippedMiB: number;
}

const secret = "the auto-enrollment secret of the footprint bench";
const starts = 5;
const mib = 1_048_576;
const ticksPerSecond = 100;

/** Measures all three at the same time, idle for so many minutes. Those that are not installed are left out. */
export async function footprint(minutes: number, progress: (text: string) => void): Promise<readonly Footprint[]> {
	const server = await startMuster({ env: { MUSTER_LOG_LEVEL: "error" } });
	const machine = new Machine();
	const cleanUp: (() => unknown)[] = [];
	try {
		await asAdmin(
			server,
			"mutation ($i: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $i) { autoEnrollment { enabled } } }",
			{
				i: { enabled: true, enrollmentSecret: secret },
			},
		);
		const env = {
			MUSTER_URL: server.url,
			MUSTER_AUTO_ENROLLMENT_KEY: secret,
			MUSTER_WORKER_NAME: "footprint",
			MUSTER_METRICS_PORT: "19100",
		};
		const times: number[] = [];
		let worker = await firstBeat(server, machine, env, times);
		for (let index = 1; index < starts; index++) {
			worker.child.kill("SIGTERM");
			await worker.exited;
			worker = await firstBeat(server, machine, env, times);
			progress(`start ${index + 1} of ${starts}: ${times.at(-1)?.toFixed(0)} ms to the first heartbeat`);
		}
		cleanUp.push(() => worker[Symbol.asyncDispose]());
		const programs = [
			{ program: "muster-worker (metrics on)", pid: worker.child.pid ?? 0, file: await workerBinary(), startMs: median(times) },
		];
		for (const other of [nodeExporter(), nebula(cleanUp)]) {
			if (other === undefined) continue;
			cleanUp.push(() => other.child.kill("SIGTERM"));
			programs.push({ program: other.program, pid: other.child.pid ?? 0, file: other.file, startMs: Number.NaN });
		}
		// What a start costs is no idle cost.
		await wait(10_000);
		const before = programs.map(({ pid }) => cpuTicks(pid));
		const began = performance.now();
		for (let minute = 0; minute < minutes; minute++) {
			progress(`idle: ${minute} of ${minutes} minutes`);
			await wait(60_000);
		}
		const seconds = (performance.now() - began) / 1_000;
		return programs.map(({ program, pid, file, startMs }, index) => ({
			program,
			startMs: Number.isNaN(startMs) ? null : startMs,
			idleRssMiB: rssMiB(pid),
			idleCpuPercent: ((cpuTicks(pid) - (before[index] ?? 0)) / ticksPerSecond / seconds) * 100,
			binaryMiB: statSync(file).size / mib,
			gzippedMiB: gzipSync(readFileSync(file)).length / mib,
		}));
	} finally {
		for (const step of cleanUp.reverse()) await step();
		machine[Symbol.dispose]();
		await server.stop();
	}
}

/** Starts the worker and notes how long its first heartbeat of this start takes to reach the database. */
async function firstBeat(
	server: Awaited<ReturnType<typeof startMuster>>,
	machine: Machine,
	env: Readonly<Record<string, string>>,
	times: number[],
) {
	const since = Date.now();
	const began = performance.now();
	const worker = await runWorker(machine, [], env);
	for (;;) {
		const { workers } = await asAdmin(server, "{ workers { nodes { lastHeartbeatAt } } }");
		if (Date.parse(workers.nodes[0]?.lastHeartbeatAt ?? "") >= since) break;
		if (worker.child.exitCode !== null) throw new Error(`The worker ended: ${JSON.stringify(worker.lastWords)}`);
		await wait(5);
	}
	times.push(performance.now() - began);
	return worker;
}

function nodeExporter() {
	const file = "/usr/bin/prometheus-node-exporter";
	if (!existsSync(file)) return undefined;
	return { program: "prometheus-node-exporter", file, child: spawn(file, ["--web.listen-address=127.0.0.1:19101"], { stdio: "ignore" }) };
}

/** A lighthouse of its own with nobody to talk to: what it costs to sit there. */
function nebula(cleanUp: (() => unknown)[]) {
	const file = "/usr/bin/nebula";
	if (!existsSync(file)) return undefined;
	const dir = mkdtempSync(join(tmpdir(), "nebula-"));
	cleanUp.push(() => rmSync(dir, { recursive: true, force: true }));
	execFileSync("nebula-cert", ["ca", "-name", "bench"], { cwd: dir });
	execFileSync("nebula-cert", ["sign", "-name", "one", "-ip", "192.168.100.1/24"], { cwd: dir });
	const config = {
		pki: { ca: join(dir, "ca.crt"), cert: join(dir, "one.crt"), key: join(dir, "one.key") },
		static_host_map: {},
		lighthouse: { am_lighthouse: true },
		listen: { host: "127.0.0.1", port: 14_242 },
		tun: { disabled: true },
		firewall: { outbound: [{ port: "any", proto: "any", host: "any" }], inbound: [{ port: "any", proto: "any", host: "any" }] },
	};
	writeFileSync(join(dir, "config.yml"), JSON.stringify(config));
	return { program: "nebula (lighthouse, no tun)", file, child: spawn(file, ["-config", join(dir, "config.yml")], { stdio: "ignore" }) };
}

function rssMiB(pid: number): number {
	return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
}

/** User and system time, in hundredths of a second. */
function cpuTicks(pid: number): number {
	const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
		.replace(/^.*\) /, "")
		.split(" ");
	return Number(fields[11]) + Number(fields[12]);
}

function median(values: readonly number[]): number {
	return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}
