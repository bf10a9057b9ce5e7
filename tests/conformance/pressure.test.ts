import { describe, expect, test, setDefaultTimeout } from "bun:test";
import { connect } from "node:net";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import type { RawSocket } from "./raw-socket.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

// For hangs only; see support/until.ts.
setDefaultTimeout(60_000);

const mebibyte = 1024 * 1024;
/** What a stalled peer may cost a server at most; without backpressure it is hundreds of MiB within seconds (RUNTIME.md, 1). */
const growthBytesMax = 96 * mebibyte;

const firehose = { id: "1", type: "subscribe", payload: { query: "subscription { firehose(bytes: 16384) }" } };

async function sequenceOf(socket: RawSocket): Promise<number> {
	const { payload } = (await socket.next()) as { payload?: { data?: { firehose?: string } } };
	return Number.parseInt(payload?.data?.firehose ?? "", 10);
}

async function expectGapless(socket: RawSocket, from: number, count: number): Promise<number> {
	for (let expected = from; expected < from + count; expected++) {
		const found = await sequenceOf(socket);
		if (found !== expected) expect(found).toBe(expected);
	}
	return from + count;
}

/** Follows the server's memory until `done`; the largest growth seen. */
async function growthUntil(server: TestServer, what: string, done: () => Promise<boolean>): Promise<number> {
	const before = await server.program.rssBytes();
	let largest = 0;
	await until(what, async () => {
		largest = Math.max(largest, (await server.program.rssBytes()) - before);
		return done();
	});
	return largest;
}

describe.each([...runtimeNames])("pressure on %s", (runtime) => {
	test("a subscriber that stops reading is closed, costs little memory and holds up nobody else, and what each got has no gap", async () => {
		await using server = await startTestServer(runtime, { drainTimeoutMs: 1_000 });
		const healthy = await server.joined();
		const stalled = await server.joined();
		healthy.send(firehose);
		stalled.send(firehose);
		let next = await expectGapless(healthy, 0, 200);
		await expectGapless(stalled, 0, 5);
		stalled.pause();
		expect(await server.openSources()).toBe(2);

		const growth = await growthUntil(server, "the stalled subscription ended", async () => {
			next = await expectGapless(healthy, next, 100);
			return (await server.openSources()) === 1;
		});
		expect(growth).toBeLessThan(growthBytesMax);
		await expectGapless(healthy, next, 500);

		stalled.resume();
		// Cut, or told why when the close frame still got through; never an ordinary end.
		expect([4413, 1006]).toContain((await stalled.closed).code);
		for (let expected = 5; ; expected++) {
			const found = await sequenceOf(stalled).catch(() => undefined);
			if (found === undefined) break;
			expect(found).toBe(expected);
		}
		healthy.destroy();
		await until("no source runs", async () => (await server.openSources()) === 0);
		expect(server.program.stderr()).toBe("");
	});

	test("a peer that floods pings and reads no answer is closed before its answers pile up", async () => {
		await using server = await startTestServer(runtime, { drainTimeoutMs: 20_000 });
		const flooding = await server.joined();
		flooding.pause();
		let ended = false;
		void flooding.ended.then(() => {
			ended = true;
		});
		const ping = JSON.stringify({ type: "ping", payload: { filler: "x".repeat(512 * 1024) } });
		let sent = 0;
		const growth = await growthUntil(server, "the flooding socket ended", async () => {
			if (sent++ < 80) flooding.send(ping);
			// A paused client sees the end of the connection only when it reads again.
			else flooding.resume();
			return ended;
		});
		expect(growth).toBeLessThan(2 * growthBytesMax);
	});

	// Bun's kernel sockets are gone once closed; Deno keeps a connection whose last write waits.
	const onDeno = runtime === "deno" ? test : () => {};
	onDeno("a peer that lets socket after socket stall gets no new one until it lets go", async () => {
		await using server = await startTestServer(runtime, { drainTimeoutMs: 500 });
		const stalled = await Promise.all(Array.from({ length: 64 }, () => server.joined()));
		for (const socket of stalled) {
			socket.send(firehose);
			await socket.next();
			socket.pause();
		}
		const isOpen = async () => {
			const opened = await server.openSocket();
			if ("socket" in opened) opened.socket.destroy();
			return "socket" in opened;
		};
		await until("it gets no new one", async () => !(await isOpen()));
		expect((await server.ask("{ hello }")).status).toBe(200);
		for (const socket of stalled) socket.destroy();
		await until("it gets one", isOpen);
	});

	test("the reader of an event stream that stops reading is cut, and its source ends", async () => {
		await using server = await startTestServer(runtime, { streamStallMs: 1_000 });
		const body = JSON.stringify({ query: "subscription { firehose(bytes: 16384) }" });
		const tcp = connect(server.port, "127.0.0.1");
		const head = [
			"POST /graphql HTTP/1.1",
			"Host: x",
			"Content-Type: application/json",
			"Accept: text/event-stream",
			`Content-Length: ${body.length}`,
		];
		tcp.on("error", () => {});
		tcp.once("data", () => tcp.pause());
		tcp.write(`${head.join("\r\n")}\r\n\r\n${body}`);
		await until("the stream is open", async () => (await server.openSources()) === 1);
		const growth = await growthUntil(server, "its source ended", async () => (await server.openSources()) === 0);
		expect(growth).toBeLessThan(growthBytesMax);
		const closed = new Promise<void>((resolve) => tcp.once("close", () => resolve()));
		tcp.resume();
		await closed;
	});

	test("a body that never ends is not taken in", async () => {
		await using server = await startTestServer(runtime, { bodyBytesMax: 64 * 1024 });
		const before = await server.program.rssBytes();
		const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)) });
		const left = new AbortController();
		const outcome = await fetch(server.url("/graphql"), {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: endless,
			signal: left.signal,
		}).then(
			({ status }) => status,
			() => "connection ended",
		);
		left.abort();
		expect([413, "connection ended"]).toContain(outcome);
		expect((await server.program.rssBytes()) - before).toBeLessThan(growthBytesMax);
		expect((await server.ask("{ hello }")).status).toBe(200);
	});
});
