/** The watch over the mesh's client: there is one, whatever overtakes it (H7). The client is a fake at a real socket; real ones are in tests/e2e. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/lib/log.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { openMesh } from "../../../worker/mesh.ts";
import { until } from "../../support/until.ts";
import { FakeDisk } from "./fake-disk.ts";
import { FakeTime } from "./fake-time.ts";

const running = { BackendState: "Running", HaveNodeKey: true, TailscaleIPs: ["100.64.0.2"], Self: { HostName: "a", DNSName: "a.mesh." } };
const out = { BackendState: "NeedsLogin", HaveNodeKey: false };
let place: string;
let server: Server;
let status: object;
let asked: number;
/** Answers that are held back; undefined: none is. */
let held: (() => void)[] | undefined;

beforeEach(async () => {
	place = mkdtempSync(join(tmpdir(), "muster-watch-"));
	[status, asked, held] = [running, 0, undefined];
	server = createServer((request, response) => {
		const isStatus = request.url?.includes("/status") === true;
		const body = JSON.stringify(isStatus ? status : { ControlURL: "http://mesh.test" });
		if (isStatus) asked += 1;
		if (isStatus && held !== undefined) held.push(() => response.end(body));
		else response.end(body);
	});
	await new Promise<void>((resolve) => server.listen(join(place, "ts.sock"), resolve));
});
afterEach(async () => {
	server.closeAllConnections();
	await new Promise((resolve) => server.close(resolve));
	rmSync(place, { recursive: true, force: true });
});

function open() {
	const time = new FakeTime();
	const lost: string[] = [];
	const config = {
		mode: "host",
		asked: true,
		stateDir: undefined,
		socket: join(place, "ts.sock"),
		tailscale: "/bin/true",
		tailscaled: undefined,
	} as const;
	const processes = { self: { version: 1, pid: 1, started: null, realm: null, nonce: "n" }, startedOf: () => undefined } as const;
	const store = { meshKeyPath: join(place, "key"), hasMeshKey: () => false, forgetMeshKey: () => {} };
	const mesh = openMesh(
		{ disk: new FakeDisk(), clock: time, timers: time, random: systemRandom, log: silentLog, processes },
		config,
		place,
		store,
	);
	mesh.onLost((why) => void lost.push(why));
	const joins = () => mesh.join({ controlUrl: "http://mesh.test", nodeName: "a" }, new AbortController().signal);
	return { time, lost, mesh, joins };
}

test("H7: a look that another join overtakes begins no second watch", async () => {
	const { time, mesh, joins } = open();
	expect((await joins()).kind).toBe("joined");
	expect(time.waits).toBe(1);
	const late: (() => void)[] = [];
	held = late;
	await time.pass(5_000);
	await until("the watch looks", () => late.length === 1);
	held = undefined;
	expect((await joins()).kind).toBe("joined");
	expect(time.waits).toBe(1);
	late[0]?.();
	// The late look has had its answer once a later one has.
	for (let times = 0; times < 3; times++) {
		const before = asked;
		await time.pass(5_000);
		await until("the watch goes on", () => asked > before && time.waits > 0);
		expect([asked - before, time.waits]).toEqual([1, 1]);
	}
	await mesh.close();
	expect(time.waits).toBe(0);
});

test("H7: a login that is gone at three looks in a row is told", async () => {
	const { time, lost, mesh, joins } = open();
	await joins();
	status = out;
	for (let looks = 0; looks < 3; looks++) {
		await until("the watch waits", () => time.waits === 1);
		await time.pass(5_000);
	}
	await until("it is told", () => lost.length === 1);
	expect(time.waits).toBe(0);
	await mesh.close();
});
