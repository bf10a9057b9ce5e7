import { expect, test } from "bun:test";
import { Fatal } from "../../../worker/fatal.ts";
import { settle } from "./fake-time.ts";
import { enrolled, played, unanswered, World } from "./loop-world.ts";

test("H9: heartbeats go out one at a time, at the interval of the last reply, jittered", async () => {
	const world = new World();
	world.start();
	world.socket.listener.opened();
	await world.time.pass(0);
	expect(world.socket.beats.map((beat) => beat.sequence)).toEqual([1]);
	await world.time.pass(9_999);
	expect(world.socket.beats).toHaveLength(1);
	await world.time.pass(1);

	expect(world.socket.beats.map((beat) => beat.sequence)).toEqual([1, 2]);
});

test("H9: no reply can make heartbeats spin", async () => {
	const world = new World();
	world.start();
	world.socket.nextInSeconds = 0;
	world.socket.listener.opened();
	await world.time.pass(1_000);

	expect(world.socket.beats.length).toBeLessThanOrEqual(21);
});

test("H9: a refused heartbeat is tried again at the usual interval, on the same socket", async () => {
	const world = new World();
	world.start();
	world.socket.answer = "refuse";
	world.socket.listener.opened();
	await world.time.pass(15_000);

	expect(world.sockets).toHaveLength(1);
	expect(world.socket.beats).toHaveLength(2);
});

test("H9: a connection that does not open is given up and dialled again, also where the system would wait for minutes; one that opened is not", async () => {
	const world = new World();
	world.start();
	await world.time.pass(22_000);
	expect(world.sockets[0]?.terminated).toBe(true);
	expect(world.sockets).toHaveLength(2);
	world.socket.listener.opened();
	await world.time.pass(60_000);

	expect(world.socket.terminated).toBe(false);
	expect(world.sockets).toHaveLength(2);
});

test.each(["a ping", "a heartbeat"] as const)("H9: a peer that leaves %s unanswered is cut off and dialled again", async (what) => {
	const world = new World();
	world.start();
	world.socket.answer = what === "a heartbeat" ? "silence" : "reply";
	world.socket.nextInSeconds = 3_600;
	world.socket.listener.opened();
	if (what === "a ping") world.socket.listener.pinged();
	await world.time.pass(31_000);

	expect(world.sockets[0]?.terminated).toBe(true);
	expect(world.sockets).toHaveLength(2);
});

test("H9: an answered ping leaves the connection alone", async () => {
	const world = new World();
	world.start();
	world.socket.nextInSeconds = 3_600;
	world.socket.listener.opened();
	world.socket.listener.pinged();
	world.socket.listener.ponged();
	await world.time.pass(60_000);

	expect(world.sockets).toHaveLength(1);
});

test.each(["a ping", "a heartbeat"] as const)("H9: %s left unanswered on a closed socket does not cut off the next one", async (what) => {
	const world = new World();
	world.start();
	world.socket.answer = what === "a heartbeat" ? "silence" : "reply";
	world.socket.listener.opened();
	if (what === "a ping") world.socket.listener.pinged();
	world.socket.listener.closed({ code: 1001, why: "restart", upgradeStatus: undefined });
	await world.time.pass(1_000);
	world.socket.listener.opened();
	await world.time.pass(60_000);

	expect(world.sockets.map((socket) => socket.terminated)).toEqual([false, false]);
});

test("H9: an answer that comes after its socket closed starts no second round of heartbeats", async () => {
	const world = new World();
	world.start();
	const { promise, resolve } = Promise.withResolvers<{ serverTime: string; nextInSeconds: number }>();
	world.socket.beat = () => promise;
	world.socket.listener.opened();
	world.socket.listener.closed({ code: 1001, why: "restart", upgradeStatus: undefined });
	await world.time.pass(1_000);
	world.socket.answer = "silence";
	world.socket.listener.opened();
	resolve({ serverTime: "", nextInSeconds: 1 });
	await world.time.pass(10_000);

	expect(world.socket.beats).toHaveLength(1);
});

test("H9: reconnecting backs off with full jitter, to half a minute on average, and begins anew after a heartbeat", async () => {
	const world = new World();
	world.start();
	const gaps: number[] = [];
	for (let attempt = 0; attempt < 9; attempt++) {
		const before = world.sockets.length;
		world.socket.listener.closed({ code: 1006, why: "down", upgradeStatus: undefined });
		const startedMs = world.time.now();
		while (world.sockets.length === before) await world.time.pass(100);
		gaps.push(world.time.now() - startedMs);
	}
	expect(gaps).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
	world.socket.listener.opened();
	await settle();
	world.socket.listener.closed({ code: 1001, why: "restart", upgradeStatus: undefined });
	await world.time.pass(500);

	expect(world.sockets).toHaveLength(11);
});

test("B6: a credential is given up after three confirmed refusals over two minutes, with 77", async () => {
	const world = new World();
	world.start();
	const startedMs = world.time.now();
	while (world.code === undefined && world.checks < 10) {
		const before = world.sockets.length;
		world.socket.listener.closed({ code: 4403, why: "forbidden", upgradeStatus: undefined });
		await settle();
		while (world.code === undefined && world.sockets.length === before) await world.time.pass(1_000);
	}

	expect([world.code, world.checks]).toEqual([77, 3]);
	expect(world.time.now() - startedMs).toBeGreaterThanOrEqual(120_000);
});

test("A5 B6: a credential that was given up is replaced when there is a key that may be used again; the worker connects with the new one", async () => {
	const world = new World();
	const enrollment = played([enrolled]);
	world.start({ enrollment, enrollsAgain: true });
	while (enrollment.sent === 0 && world.checks < 10) {
		const before = world.sockets.length;
		world.socket.listener.closed({ code: 4403, why: "forbidden", upgradeStatus: undefined });
		await settle();
		while (enrollment.sent === 0 && world.sockets.length === before) await world.time.pass(1_000);
	}
	await settle();

	expect([world.code, world.checks, enrollment.sent]).toEqual([undefined, 3, 1]);
	const dialled = world.sockets.length;
	world.socket.listener.opened();
	expect(dialled).toBe(4);
});

test("B6: a server that takes the credential again ends the doubt", async () => {
	const world = new World();
	world.start();
	for (let round = 0; round < 6; round++) {
		world.socket.listener.closed({ code: 4403, why: "forbidden", upgradeStatus: undefined });
		await world.time.pass(61_000);
		if (round % 2 === 1) world.socket.listener.opened();
		await settle();
	}

	expect(world.code).toBeUndefined();
});

test("G6: enrolling goes on until the server answers, then reports", async () => {
	const world = new World();
	const enrollment = played([unanswered, unanswered, enrolled]);
	world.start({ identity: undefined, enrollment });
	await world.time.pass(3_000);

	expect(enrollment.sent).toBe(3);
	expect(world.sockets).toHaveLength(1);
});

test("A16: enroll ends with 0 when enrolled, and never opens a socket", async () => {
	const world = new World();
	world.start({ identity: undefined, enrollment: played([unanswered, enrolled]), enrollOnlySeconds: 60 });
	await world.time.pass(1_000);

	expect([world.code, world.sockets.length]).toEqual([0, 0]);
});

test("A16: enroll ends with 75 when its time is over", async () => {
	const world = new World();
	world.start({ identity: undefined, enrollment: played([unanswered]), enrollOnlySeconds: 60 });
	await world.time.pass(59_999);
	expect(world.code).toBeUndefined();
	await world.time.pass(1);

	expect(world.code).toBe(75);
});

test.each([
	["before the call", played([new Fatal(73, "disk full")])],
	["after the reply", played([enrolled], new Fatal(73, "disk full"))],
])("A16: a full disk %s ends the worker with 73", async (_, enrollment) => {
	const world = new World();
	world.start({ identity: undefined, enrollment });
	await settle();

	expect(world.code).toBe(73);
});

test("A16: a worker whose lock another took ends with 75", async () => {
	const world = new World();
	world.start();
	world.holdsLock = false;
	await world.time.pass(10_000);

	expect(world.code).toBe(75);
});

test("whatever it was doing, a stopped loop leaves no timer and no socket", async () => {
	const moments: ((world: World) => void)[] = [
		() => {},
		(world) => world.socket.listener.opened(),
		(world) => world.socket.listener.pinged(),
		(world) => world.socket.listener.closed({ code: 1006, why: "down", upgradeStatus: undefined }),
		(world) => world.socket.listener.closed({ code: 4403, why: "forbidden", upgradeStatus: undefined }),
	];
	for (const moment of moments) {
		const world = new World();
		const loop = world.start();
		moment(world);
		await settle();
		loop.signal("SIGTERM");
		await settle();

		expect([world.code, world.time.waits]).toEqual([0, 0]);
		expect(world.sockets.filter((socket) => !socket.closed && !socket.terminated)).toHaveLength(moments.indexOf(moment) > 2 ? 1 : 0);
	}
});

test("A16: a peer that does not close politely holds a stopping worker for a second at most", async () => {
	const world = new World();
	const loop = world.start();
	world.socket.close = () => new Promise(() => {});
	loop.signal("SIGTERM");
	await world.time.pass(999);
	expect(world.code).toBeUndefined();
	await world.time.pass(1);

	expect(world.code).toBe(0);
});
