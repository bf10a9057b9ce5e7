import { describe, expect, test } from "bun:test";
import { Fatal } from "../../../worker/fatal.ts";
import { type Holder, livingHolder, type Processes, takeLock } from "../../../worker/lock.ts";
import { FakeDisk } from "./fake-disk.ts";
import { FakeTime } from "./fake-time.ts";

const path = "/state/worker.lock";
const self: Holder = { version: 1, pid: 10, started: "100", realm: "boot pid:[1]", nonce: "own" };

function world(running: Readonly<Record<number, string | null>> = {}) {
	const disk = new FakeDisk();
	const clock = new FakeTime();
	const processes: Processes = { self, startedOf: (pid) => running[pid] };
	return { disk, clock, processes };
}

function hold(deps: ReturnType<typeof world>, holder: Partial<Holder>, ageMs = 0): void {
	deps.disk.write(path, JSON.stringify({ ...self, nonce: "other", ...holder }));
	deps.disk.touch(path, deps.clock.now() - ageMs);
}

describe("who keeps a worker out of a state directory", () => {
	const cases: readonly (readonly [string, Partial<Holder>, number, Readonly<Record<number, string | null>>, boolean])[] = [
		["a running worker", { pid: 11, started: "90" }, 99_999_999, { 11: "90" }, true],
		["a worker that is gone", { pid: 11, started: "90" }, 0, {}, false],
		["another process that got its pid", { pid: 11, started: "90" }, 0, { 11: "95" }, false],
		["a former process with our pid, as in a restarted container", { pid: 10, started: "90" }, 0, { 10: "100" }, false],
		["a worker in another container, touched lately", { realm: "boot pid:[2]" }, 29_999, {}, true],
		["a worker in another container, silent", { realm: "boot pid:[2]" }, 30_000, {}, false],
		["a process whose start cannot be read, touched lately", { pid: 11 }, 29_999, { 11: null }, true],
		["a process whose start cannot be read, silent", { pid: 11 }, 30_000, { 11: null }, false],
	];
	test.each(cases)("A16: %s", (_, holder, ageMs, running, keepsOut) => {
		const deps = world(running);
		hold(deps, holder, ageMs);

		expect(livingHolder(deps, "/state") !== undefined).toBe(keepsOut);
		if (keepsOut) expect(() => takeLock(deps, "/state")).toThrow(Fatal);
		else expect(takeLock(deps, "/state").touch()).toBe(true);
	});

	test("A16: a half-written lock counts while it is fresh", () => {
		const deps = world();
		deps.disk.write(path, "{");
		deps.disk.touch(path, 0);

		expect(livingHolder(deps, "/state")).toBe("unknown");
		deps.disk.touch(path, -30_000);
		expect(livingHolder(deps, "/state")).toBeUndefined();
	});
});

test("A16: a lock is given back by its holder only", () => {
	const deps = world();
	const lock = takeLock(deps, "/state");
	hold(deps, { pid: 11 });

	lock.release();
	expect(lock.touch()).toBe(false);
	expect(deps.disk.names()).toEqual([path]);
});

test("A16: a lock that is given back is free", () => {
	const deps = world();
	takeLock(deps, "/state").release();

	expect(livingHolder(deps, "/state")).toBeUndefined();
	expect(deps.disk.names()).toEqual([]);
});
