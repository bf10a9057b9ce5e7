import { expect, test } from "bun:test";
import { systemRandom } from "../../../src/lib/random.ts";
import { Secret } from "../../../src/lib/secret.ts";
import { autoEnrollmentMac } from "../../../src/protocol/auto-enroll.ts";
import type { Refusal } from "../../../src/protocol/codes.ts";
import { seal } from "../../../src/protocol/seal.ts";
import { type Enrollment, enrollment, type WorkerFacts } from "../../../worker/enrollment.ts";
import { identityStore } from "../../../worker/identity.ts";
import { until } from "../../support/until.ts";
import { FakeDisk } from "./fake-disk.ts";
import type { FakeTime } from "./fake-time.ts";
import { World } from "./loop-world.ts";

const secret = "auto-enroll-secret-of-32-letters";
const dayMs = 86_400_000;
const facts: WorkerFacts = { name: "edge-1", hostname: "h", machineUid: "uid-12345", platform: "linux-x64", version: "1", labels: [] };
const endpoint = { http: "http://server/graphql", ws: "ws://server/graphql" };

interface Call {
	readonly enrollmentId: string;
	readonly replyKey: string;
	readonly worker: WorkerFacts;
	readonly credential: {
		readonly autoEnrollment: { readonly tenant: string; readonly nonce: string; readonly timestamp: string; readonly mac: string };
	};
}

/** A server that answers each call in turn with a refusal, or cuts the connection, and at last lets the worker in with `apiKey`. */
function server(time: FakeTime, answers: readonly (Refusal | "cut")[], { aheadMs = 0, apiKey = "the key" } = {}) {
	const calls: Call[] = [];
	const bodies: string[] = [];
	const fetch = async (_url: string, { body }: RequestInit): Promise<Response> => {
		if (typeof body !== "string") throw new Error("The body is no text");
		bodies.push(body);
		const call = (JSON.parse(body) as { variables: { input: Call } }).variables.input;
		calls.push(call);
		const answer = answers[calls.length - 1];
		if (answer === "cut") throw new Error("connection reset");
		const enroll =
			answer === undefined
				? {
						__typename: "Enrolled",
						workerId: "wrk_1",
						hostId: "host_1",
						name: "edge-1",
						outcome: "NEW",
						apiKey: null,
						sealedApiKey: await seal(call.replyKey, call.enrollmentId, apiKey),
						serverAddress: null,
						heartbeatIntervalSeconds: 15,
						mesh: null,
					}
				: {
						__typename: "EnrollmentRejected",
						refusal: answer,
						message: "no",
						retryAfterSeconds: 1,
						serverTime: new Date(time.now() + aheadMs).toISOString(),
					};
		return Response.json({ data: { enroll } });
	};
	return { calls, bodies, fetch };
}

function prepare(world: World, fetch: ReturnType<typeof server>["fetch"], disk = new FakeDisk(), key = secret): Enrollment {
	const deps = { store: identityStore(disk, "/state"), fetch, clock: world.time, random: systemRandom };
	return enrollment(deps, { endpoint, key: { kind: "auto", secret: new Secret(key), tenant: "acme" }, facts });
}

/** Runs the loop until it stands: enrolled and dialling, or ended. Time moves only while the worker waits for an attempt. */
async function run(world: World, fetch: ReturnType<typeof server>["fetch"], disk?: FakeDisk): Promise<void> {
	world.start({ identity: undefined, enrollment: prepare(world, fetch, disk) });
	const lockWaits = world.time.waits;
	// Keys are made and seals opened off the event loop; nothing tells when.
	await until("the worker is enrolled or has ended", async () => {
		if (world.time.waits > lockWaits) await world.time.pass(1_000);
		return world.sockets.length > 0 || world.code !== undefined;
	});
}

function sent(call: Call) {
	return call.credential.autoEnrollment;
}

test("A6: every attempt has a nonce, a time and a proof of its own, and the same enrollment id and reply key", async () => {
	const world = new World();
	const { calls, fetch } = server(world.time, ["cut", "overloaded", "replayed", "cut"]);
	await run(world, fetch);

	expect(world.sockets).toHaveLength(1);
	expect(calls).toHaveLength(5);
	expect(new Set(calls.map((call) => `${call.enrollmentId} ${call.replyKey}`)).size).toBe(1);
	expect(new Set(calls.map((call) => sent(call).nonce)).size).toBe(5);
	for (const call of calls) {
		const { tenant, nonce, timestamp, mac } = sent(call);
		const { name, machineUid } = call.worker;
		const transcript = { tenant, enrollmentId: call.enrollmentId, name, requestedId: null, machineUid, nonce, timestamp };
		expect(nonce).toMatch(/^[0-9a-f]{32}\.[0-9a-f]{64}$/);
		expect(timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
		expect(mac).toBe(autoEnrollmentMac(secret, transcript));
	}
});

test("A6: the secret is neither sent nor kept", async () => {
	const world = new World();
	const disk = new FakeDisk();
	const { bodies, fetch } = server(world.time, ["cut", "bad_secret"]);
	await run(world, fetch, disk);

	expect(world.code).toBe(77);
	expect(bodies.join()).not.toContain(secret);
	const waiting = new FakeDisk();
	await prepare(world, server(world.time, ["cut"]).fetch, waiting).send(false, new AbortController().signal);
	expect(waiting.names()).toEqual(["/state/pending-enrollment.json"]);
	expect(waiting.read("/state/pending-enrollment.json")).not.toContain(secret);
});

test.each([-dayMs, dayMs])("A6: a worker whose clock is %d ms off enrolls in exactly two requests", async (aheadMs) => {
	const world = new World();
	await world.time.pass(2 * dayMs);
	const { calls, fetch } = server(world.time, ["clock_skew"], { aheadMs });
	await run(world, fetch);

	expect(world.sockets).toHaveLength(1);
	expect(calls).toHaveLength(2);
	const [wrong, right] = calls.map((call) => Date.parse(sent(call).timestamp));
	expect((right ?? 0) - (wrong ?? 0)).toBe(aheadMs);
});

test("A6: the correction holds for every later proof of this run", async () => {
	const world = new World();
	const { calls, fetch } = server(world.time, ["clock_skew", "cut", "overloaded"], { aheadMs: dayMs });
	await run(world, fetch);

	expect(world.sockets).toHaveLength(1);
	for (const call of calls.slice(1)) expect(Date.parse(sent(call).timestamp)).toBeGreaterThanOrEqual(dayMs);
});

test("A6: a time that is refused twice in a row ends the worker with 77, and its enrollment id stays for the next start", async () => {
	const world = new World();
	const disk = new FakeDisk();
	const { calls, fetch } = server(world.time, ["clock_skew", "clock_skew"]);
	await run(world, fetch, disk);

	expect([world.code, calls.length]).toEqual([77, 2]);
	const again = server(world.time, []);
	await run(new World(), again.fetch, disk);
	expect(again.calls.map((call) => call.enrollmentId)).toEqual([calls[0]?.enrollmentId ?? ""]);
});

test("A4 G6: a restart goes on with the same enrollment; with another secret it begins a new one, as the server demands", async () => {
	const world = new World();
	const disk = new FakeDisk();
	const { calls, fetch } = server(world.time, ["cut", "cut", "cut"]);
	const { signal } = new AbortController();
	await prepare(world, fetch, disk).send(false, signal);
	await prepare(world, fetch, disk).send(false, signal);
	await prepare(world, fetch, disk, `${secret}, replaced`).send(false, signal);

	const [first, second, third] = calls.map((call) => call.enrollmentId);
	expect(second).toBe(String(first));
	expect(third).not.toBe(String(first));
});

test("A5 A16: an API key that no header can carry is not kept, and ends the worker with 77", async () => {
	const world = new World();
	const disk = new FakeDisk();
	await run(world, server(world.time, [], { apiKey: "two\nlines" }).fetch, disk);

	expect(world.code).toBe(77);
	expect(disk.names()).toEqual(["/state/pending-enrollment.json"]);
});
