/** The client as the worker's child, played by a shell script: it is ended with the worker, started again, and its words are bounded. */
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/lib/clock.ts";
import type { Log } from "../../../src/lib/log.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { systemDisk } from "../../../worker/disk.ts";
import { Daemon, daemonSocket, readRunning } from "../../../worker/mesh-daemon.ts";
import { systemTimers } from "../../../worker/timers.ts";
import { soon, until } from "../../support/until.ts";

/** A program in a directory of its own that does what `body` says. */
class Played implements Disposable {
	readonly dir = mkdtempSync(join(tmpdir(), "muster-daemon-"));
	readonly program = join(this.dir, "tailscaled");
	readonly said: string[] = [];
	readonly warned: unknown[] = [];

	constructor(body: string) {
		writeFileSync(this.program, `#!/bin/sh\n${body}\n`);
		chmodSync(this.program, 0o755);
	}

	daemon(): Daemon {
		const log: Log = {
			debug: (_event, fields) => void this.said.push(String(fields?.["line"])),
			info() {},
			warn: (_event, fields) => void this.warned.push(fields),
			error() {},
		};
		const random = { ...systemRandom, fraction: () => 0 };
		const deps = { disk: systemDisk, clock: systemClock, timers: systemTimers, random, log };
		return new Daemon(deps, { program: this.program, mode: "userspace", meshDir: this.dir, env: { PATH: process.env.PATH ?? "" } });
	}

	/** The pids that the program noted at its starts. */
	pids(): readonly number[] {
		const path = join(this.dir, "pids");
		return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n").map(Number) : [];
	}

	[Symbol.dispose](): void {
		rmSync(this.dir, { recursive: true, force: true });
	}
}

const notePid = 'echo $$ >> "$PWD/pids"';
const isAlive = (pid: number) => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

test("H7: it says where its proxy is, removes a stale socket, and is gone when the worker stops", async () => {
	using played = new Played(
		`${notePid}; [ -e tailscaled.sock ] && exit 9; echo "HTTP proxy listening on 127.0.0.1:7" >&2; exec sleep 1000`,
	);
	writeFileSync(daemonSocket(played.dir), "left behind by a crash");
	const daemon = played.daemon();
	daemon.start();
	await until("the proxy", () => daemon.proxy);

	expect(daemon.proxy).toBe("http://127.0.0.1:7");
	expect(readRunning(systemDisk, played.dir)).toEqual({ proxy: "127.0.0.1:7" });
	await soon("its end", daemon.stop());
	const [pid = 0] = played.pids();
	await until("the client is gone", () => !isAlive(pid));
	expect(readRunning(systemDisk, played.dir)).toBeUndefined();
	expect(played.warned).toEqual([]);
});

test("H7: one that ends is started again, and why it ended is told", async () => {
	using played = new Played(`${notePid}; echo "out of luck" >&2; exit 3`);
	const daemon = played.daemon();
	daemon.start();
	await until("three starts", () => played.pids().length >= 3);
	await daemon.stop();

	expect(daemon.restarts).toBeGreaterThanOrEqual(2);
	expect(played.warned[0]).toMatchObject({ why: "tailscaled ended with 3", said: "out of luck" });
});

test("H7: a program that is not there is told, and tried again", async () => {
	using played = new Played("");
	rmSync(played.program);
	const daemon = played.daemon();
	daemon.start();
	await until("the second failure", () => played.warned.length >= 2);
	await daemon.stop();

	expect(played.warned[0]).toMatchObject({ why: "tailscaled ended with 127" });
});

test("a client that talks without end fills no log", async () => {
	using played = new Played(
		'i=0; while [ $i -lt 5000 ]; do echo "line $i" >&2; i=$((i+1)); done; echo "HTTP proxy listening on 127.0.0.1:7" >&2; exec sleep 1000',
	);
	const daemon = played.daemon();
	daemon.start();
	await until("the last line", () => daemon.proxy);
	await daemon.stop();

	expect(played.said.length).toBeLessThan(1_000);
});

test.skipIf(!existsSync("/proc/self"))("H7: a worker that is killed takes its client along", async () => {
	using played = new Played(`${notePid}; exec sleep 1000`);
	const script = join(played.dir, "worker.ts");
	const modules = join(import.meta.dirname, "..", "..", "..");
	const imports = Object.entries({ clock: "systemClock", log: "silentLog", random: "systemRandom" }).map(
		([file, name]) => `import { ${name} } from ${JSON.stringify(join(modules, `src/lib/${file}.ts`))};`,
	);
	writeFileSync(
		script,
		`${imports.join("\n")}
import { systemDisk } from ${JSON.stringify(join(modules, "worker/disk.ts"))};
import { Daemon } from ${JSON.stringify(join(modules, "worker/mesh-daemon.ts"))};
import { systemTimers } from ${JSON.stringify(join(modules, "worker/timers.ts"))};
const deps = { disk: systemDisk, clock: systemClock, timers: systemTimers, random: systemRandom, log: silentLog };
new Daemon(deps, { program: ${JSON.stringify(played.program)}, mode: "userspace", meshDir: ${JSON.stringify(played.dir)}, env: process.env }).start();
setInterval(() => {}, 1000);`,
	);
	const worker = spawn(process.execPath, [script], { stdio: "ignore" });
	const pid = await until("the client runs", () => played.pids()[0]);
	worker.kill("SIGKILL");

	await until("the client is gone", () => !isAlive(pid));
});
