import { expect, test } from "bun:test";
import fc from "fast-check";
import { refusals } from "../../../src/protocol/codes.ts";
import { initialState, machine } from "../../../worker/machine.ts";
import type { Event, State } from "../../../worker/machine-state.ts";
import { hostMetrics, type HostSource } from "../../../worker/metrics-host.ts";
import { parseBootTime, parseLoadavg, parseMeminfo, parseNetDev, parseUptime } from "../../../worker/metrics-proc.ts";
import { renderMetrics } from "../../../worker/metrics-text.ts";
import { Progress } from "../../../worker/metrics-worker.ts";
import { FakeTime } from "./fake-time.ts";
import { World } from "./loop-world.ts";

const build = { version: "1.2.3", platform: "linux-x64" };
const closed: Event = { kind: "closed", code: 1006, why: "gone", upgradeStatus: undefined, nowMs: 0 };

/** A machine that is watched, taken through these events. */
function watched(time: FakeTime, events: readonly Event[], progress = new Progress(time)): Progress {
	let state: State = initialState;
	for (const event of events) {
		const [next, effects] = machine(state, event);
		state = next;
		progress.observe(event, state, effects);
	}
	return progress;
}

const connected: readonly Event[] = [
	{ kind: "started", hasCredential: true, thenExit: false, signed: false, again: false },
	{ kind: "opened", nowMs: 0 },
];

function page(progress: Progress): readonly string[] {
	return renderMetrics(progress.metrics(build)).split("\n");
}

test("H16: the text format has help, type and samples; labels are escaped, a metric without samples is left out", () => {
	const text = renderMetrics([
		{
			name: "a",
			help: "one\\two\nthree",
			type: "gauge",
			samples: [
				{ labels: { x: 'q"\\\n', y: "2" }, value: 1.5 },
				{ value: Number.POSITIVE_INFINITY },
				{ value: Number.NEGATIVE_INFINITY },
				{ value: Number.NaN },
			],
		},
		{ name: "b", help: "none", type: "counter", samples: [] },
	]);

	expect(text).toBe('# HELP a one\\\\two\\nthree\n# TYPE a gauge\na{x="q\\"\\\\\\n",y="2"} 1.5\na +Inf\na -Inf\na NaN\n');
});

test("H16: a label's value never breaks out of its line, whatever it holds", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary" }), (value) => {
			const lines = renderMetrics([{ name: "a", help: "", type: "gauge", samples: [{ labels: { x: value }, value: 1 }] }]).split("\n");
			expect(lines).toHaveLength(4);
			expect(lines[2]).toMatch(/^a\{x="([^"\\]|\\[\\"n])*"\} 1$/s);
		}),
	);
});

test.each([
	["0.20 0.18 0.12 1/80 11206\n", [0.2, 0.18, 0.12]],
	["0 0 0", [0, 0, 0]],
	["0.20 0.18", undefined],
	["a b c", undefined],
	["", undefined],
] as const)("H16: /proc/loadavg %j is %j", (text, expected) => {
	expect(parseLoadavg(text)).toEqual(expected as never);
});

test("H16: /proc/meminfo is read in bytes; old kernels have no MemAvailable", () => {
	expect(parseMeminfo("MemTotal:       24684092 kB\nMemFree: 1 kB\nMemAvailable:   23074200 kB\n")).toEqual({
		totalBytes: 24_684_092 * 1_024,
		availableBytes: 23_074_200 * 1_024,
	});
	expect(parseMeminfo("MemTotal: 10 kB\n")).toEqual({ totalBytes: 10_240 });
	expect(parseMeminfo("MemTotal: ten kB\nXMemAvailable: 5 kB")).toEqual({});
});

test("H16: /proc/uptime and the btime of /proc/stat are seconds", () => {
	expect(parseUptime("16372.98 23759.11\n")).toBe(16_372.98);
	expect(parseUptime("")).toBeUndefined();
	expect(parseBootTime("cpu 1 2\nbtime 1763700000\nprocesses 5\n")).toBe(1_763_700_000);
	expect(parseBootTime("xbtime 1\nbtime -1\n")).toBeUndefined();
});

const netDevHead =
	"Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

test("H16: /proc/net/dev gives each interface, also where the name touches the number or holds a colon, but for those of containers", () => {
	const lines = ["    lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0", "eth0:9007199254740991 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0"];
	const odd = ["eth0:1: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0", "vethabc: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0", "broken: 1 2", ": 1", "", "no colon"];

	expect(parseNetDev(netDevHead + [...lines, ...odd].join("\n"))).toEqual([
		{ name: "lo", receivedBytes: 10, transmittedBytes: 20 },
		{ name: "eth0", receivedBytes: Number.MAX_SAFE_INTEGER, transmittedBytes: 4 },
		{ name: "eth0:1", receivedBytes: 5, transmittedBytes: 6 },
	]);
});

test("H16: a host with hundreds of interfaces shows 32", () => {
	const lines = Array.from({ length: 500 }, (_, index) => `vlan${index}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0`);

	expect(parseNetDev(netDevHead + lines.join("\n"))).toHaveLength(32);
});

test("H16: no text under /proc makes a reader throw", () => {
	const readers = [parseLoadavg, parseMeminfo, parseUptime, parseBootTime, parseNetDev];
	fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => readers.forEach((read) => void read(text))));
});

test("H16: on a platform without /proc the host's metrics are left out, those of its disks stay", async () => {
	const source: HostSource = {
		read: () => Promise.resolve(undefined),
		room: (path) => Promise.resolve(path === "/" ? { sizeBytes: 10, availableBytes: 4 } : undefined),
	};

	const text = renderMetrics(await hostMetrics(source, "/state"));

	expect(text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([
		'muster_host_disk_size_bytes{directory="root"} 10',
		'muster_host_disk_available_bytes{directory="root"} 4',
	]);
});

test("H16: every refusal has its series from the start", () => {
	const lines = page(new Progress(new FakeTime()));

	for (const reason of refusals) expect(lines).toContain(`muster_worker_enroll_refusals_total{reason="${reason}"} 0`);
	expect(lines).toContain('muster_worker_info{version="1.2.3",platform="linux-x64"} 1');
	expect(lines).toContain("muster_worker_enrolled 0");
	expect(lines).toContain("muster_worker_last_heartbeat_timestamp_seconds 0");
});

test("H16: a refused enrollment counts under its reason", () => {
	const reply = { __typename: "EnrollmentRejected", reason: "overloaded", message: "", retryAfterSeconds: 1, serverTime: "" } as const;
	const refused: readonly Event[] = [{ kind: "replied", reply }, { kind: "due" }, { kind: "replied", reply }];
	const progress = watched(new FakeTime(), [
		{ kind: "started", hasCredential: false, thenExit: false, signed: false, again: false },
		...refused,
	]);

	expect(page(progress)).toContain('muster_worker_enroll_refusals_total{reason="overloaded"} 2');
	expect(progress.health()).toMatchObject({ status: "unavailable", state: "delayed", reason: expect.stringContaining("not enrolled") });
});

test("H16: heartbeats count as sent, and as failed when refused or cut off; a connection after the first is a reconnect", () => {
	const answered: Event = { kind: "beatAnswered", nextInSeconds: 15 };
	const events: readonly Event[] = [
		...connected,
		answered,
		{ kind: "due" },
		{ kind: "beatFailed", why: "not now" },
		{ kind: "due" },
		closed,
		{ kind: "due" },
		{ kind: "opened", nowMs: 0 },
		answered,
		closed,
	];
	const lines = page(watched(new FakeTime(), events));

	expect(lines).toContain("muster_worker_heartbeats_sent_total 4");
	expect(lines).toContain("muster_worker_heartbeats_failed_total 2");
	expect(lines).toContain("muster_worker_reconnects_total 1");
	expect(lines).toContain("muster_worker_enrolled 1");
	expect(lines).toContain("muster_worker_connected 0");
});

test("H16: health is good for three intervals after an answered heartbeat, and a short break within them does not change it", async () => {
	const time = new FakeTime();
	const progress = watched(time, connected);
	expect(progress.health()).toMatchObject({ status: "unavailable", state: "connected", lastHeartbeat: null });

	watched(time, [...connected, { kind: "beatAnswered", nextInSeconds: 10 }, closed], progress);
	expect(progress.health()).toMatchObject({ status: "ok", state: "reconnecting", intervalSeconds: 10, reason: null });
	await time.pass(30_000);
	expect(progress.health().status).toBe("ok");
	await time.pass(1);
	expect(progress.health()).toMatchObject({ status: "unavailable", reason: expect.stringContaining("30 s") });
});

test("H16: a stopping worker is not healthy, though its last heartbeat was answered", () => {
	const events: readonly Event[] = [...connected, { kind: "beatAnswered", nextInSeconds: 10 }, { kind: "signalled", signal: "SIGTERM" }];

	expect(watched(new FakeTime(), events).health()).toMatchObject({ status: "unavailable", state: "stopping" });
});

test("H16: the loop tells of each step", async () => {
	const world = new World();
	const progress = new Progress(world.time);
	world.start({}, { observe: (event, state, effects) => progress.observe(event, state, effects) });
	world.socket.listener.opened();
	await world.time.pass(10_000 * 3.5);

	expect(page(progress)).toContain("muster_worker_heartbeats_sent_total 4");
	expect(progress.health()).toMatchObject({ status: "ok", state: "connected" });
});

test.each([
	[0, 3_000],
	[1e9, 3 * 3_600_000],
])("H16: an interval of %p s is judged as the loop takes it: silence is forgiven for %p ms", async (nextInSeconds, forgivenMs) => {
	const time = new FakeTime();
	const progress = watched(time, [...connected, { kind: "beatAnswered", nextInSeconds }]);

	await time.pass(forgivenMs);
	expect(progress.health().status).toBe("ok");
	await time.pass(1);
	expect(progress.health().status).toBe("unavailable");
});
