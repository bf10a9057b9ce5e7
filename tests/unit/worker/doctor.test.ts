import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/lib/clock.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { systemDisk } from "../../../worker/disk.ts";
import { doctor } from "../../../worker/doctor.ts";
import { dockerAt } from "../../../worker/docker-address.ts";
import { checkClock } from "../../../worker/doctor-server.ts";
import { systemProcesses } from "../../../worker/lock.ts";
import { connectTcp, type LiveAnswer, resolveName } from "../../../worker/probes.ts";
import { parse } from "./parse.ts";

function answered(clockAheadMs: number | undefined): LiveAnswer {
	return { kind: "answered", status: 200, muster: true, location: undefined, clockAheadMs, roundTripMs: 1 };
}

test.each([
	[0, "ok", "agrees"],
	[-1_400, "ok", "agrees"],
	[60_000, "ok", "1 min behind"],
	[300_000, "ok", "5 min behind"],
	[300_001, "FAIL", "5 min behind the server's: set this machine's clock"],
	[-86_400_000, "FAIL", "1 d ahead of the server's: set this machine's clock"],
	[90_061_000, "FAIL", "1 d 1 h behind"],
] as const)("A server whose clock is %p ms ahead: %s", (ms, verdict, text) => {
	expect(checkClock([answered(ms)])).toEqual([{ verdict, text: expect.stringContaining(text) }]);
});

test("A clock is not judged without a server that says its time", () => {
	expect(checkClock([])[0]?.verdict).toBe("skip");
	expect(checkClock([{ kind: "unanswered", why: "" }, answered(undefined)])[0]?.verdict).toBe("skip");
	expect(checkClock([{ kind: "unanswered", why: "" }, answered(0)])[0]?.verdict).toBe("ok");
});

test.each([
	[undefined, { socketPath: "/var/run/docker.sock" }],
	["unix:///run/user/1000/docker.sock", { socketPath: "/run/user/1000/docker.sock" }],
	["tcp://10.0.0.5:2375", { host: "10.0.0.5", port: 2_375 }],
	["tcp://docker", { host: "docker", port: 2_375 }],
	["tcp://[::1]:99", { host: "::1", port: 99 }],
	["tcp://10.0.0.5:2376", undefined],
	["ssh://me@host", undefined],
	["unix://relative", undefined],
	["npipe:////./pipe/docker_engine", undefined],
	["nonsense", undefined],
])("DOCKER_HOST %j is asked at %j", (dockerHost, at) => {
	expect(dockerAt(dockerHost)).toEqual(at as never);
});

test("doctor ends in time and says what it did not learn, even when a call can be neither answered nor broken off", async () => {
	const env = {
		MUSTER_URL: "http://127.0.0.1:9",
		MUSTER_WORKER_ID: "wrk_1",
		MUSTER_WORKER_API_KEY: "key",
		// Whoever runs the test may write there.
		MUSTER_STATE_DIR: mkdtempSync(join(tmpdir(), "muster-doctor-")),
	};
	const { config, problems } = parse([], env);
	expect(problems).toEqual([]);
	const lines: string[] = [];

	const code = await doctor(config, (line) => lines.push(line), {
		clock: systemClock,
		disk: systemDisk,
		processes: systemProcesses(systemRandom),
		fetch: () => new Promise(() => {}),
		dockerHost: "ssh://none",
		deadlineMs: 50,
	});

	expect(code).toBe(1);
	expect(lines.filter((line) => line.startsWith("FAIL")).map((line) => line.slice(6, 21).trim())).toEqual(["address", "clock", "identity"]);
	expect(lines.filter((line) => line.includes("no result within"))).toHaveLength(3);
	rmSync(env.MUSTER_STATE_DIR, { recursive: true });
});

test("A name service and a host that do not answer are given up when time is out", async () => {
	const signal = AbortSignal.abort();

	expect(await resolveName("localhost", signal).catch(String)).toBe("Error: no answer in time");
	expect(await connectTcp("127.0.0.1", 9, signal).catch(String)).toBe("Error: no answer in time");
});
