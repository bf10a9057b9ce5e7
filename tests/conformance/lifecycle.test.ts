import { describe, expect, test, setDefaultTimeout } from "bun:test";
import { connect } from "node:net";
import { runtimeNames } from "../support/runtimes.ts";
import { soon, until } from "../support/until.ts";
import { startTestServer } from "./test-server.ts";

// For hangs only; see support/until.ts.
setDefaultTimeout(60_000);

const quiet = { id: "1", type: "subscribe", payload: { query: "subscription { quiet }" } };

describe.each([...runtimeNames])("life and end on %s", (runtime) => {
	test.each(["SIGTERM", "SIGINT"] as const)("%s closes sockets with 1001, completes event streams and exits 0", async (signal) => {
		await using server = await startTestServer(runtime);
		const socket = await server.joined();
		socket.send(quiet);
		await socket.next();
		const stream = await server.stream("subscription { quiet }");
		const text = stream.text();
		await until("both run", async () => (await server.openSources()) === 2);
		server.program.kill(signal);
		expect(await socket.closed).toMatchObject({ code: 1001 });
		expect(await soon("the stream's end", text)).toEndWith("event: complete\ndata:\n\n");
		expect(await soon("the program's end", server.program.ended)).toBe(0);
		expect(server.program.stderr()).toBe("");
	});

	test("SIGTERM ends the program although nobody else lets go", async () => {
		await using server = await startTestServer(runtime);
		// A peer that never answers a close, a reader that reads nothing, a query that never ends, and an idle connection.
		const deaf = await server.joined({ answers: false });
		deaf.send(quiet);
		await deaf.next();
		const stream = await server.stream("subscription { firehose(bytes: 65536) }");
		const never = server.ask("{ never }").catch(() => "cut");
		const idle = connect(server.port, "127.0.0.1");
		idle.on("error", () => {});
		await until("both run", async () => (await server.openSources()) === 2);
		server.program.kill("SIGTERM");
		expect(await soon("the program's end", server.program.ended)).toBe(0);
		expect(await never).toBe("cut");
		await stream.body?.cancel().catch(() => {});
	});

	test("a request that is on its way when SIGTERM comes is answered", async () => {
		await using server = await startTestServer(runtime);
		const body = JSON.stringify({ query: "{ hello }" });
		const tcp = connect(server.port, "127.0.0.1");
		const reply = new Promise<string>((resolve) => {
			let text = "";
			tcp.setEncoding("utf8").on("data", (chunk: string) => {
				text += chunk;
				if (text.includes("\r\n\r\n")) resolve(text);
			});
			tcp.once("close", () => resolve(text));
		});
		tcp.write(
			`POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
		);
		// Not merely sent: of two connections the server may take up the second first.
		let asked = 0;
		await until("the server has the head", async () => (await server.begunRequests()) > ++asked);
		server.program.kill("SIGTERM");
		await until("nothing new is taken", () =>
			fetch(server.url("/health/live")).then(
				({ status }) => status === 503,
				() => true,
			),
		);
		tcp.write(body.slice(5));
		expect(await soon("the reply", reply)).toContain('{"data":{"hello":"world"}}');
		tcp.destroy();
		expect(await soon("the program's end", server.program.ended)).toBe(0);
	});

	test("a peer that never answers a close is dropped within seconds", async () => {
		await using server = await startTestServer(runtime);
		const deaf = await server.joined({ answers: false });
		deaf.send("{nonsense");
		expect((await deaf.closed).code).toBe(4400);
		await soon("the connection's end", deaf.ended);
	});

	test("a peer that answers no pings is dropped and its source ends, one that answers stays", async () => {
		await using server = await startTestServer(runtime, { idleSeconds: 8 });
		const [dead, living] = [await server.joined({ answers: false }), await server.joined()];
		dead.send(quiet);
		living.send(quiet);
		await Promise.all([dead.next(), living.next()]);
		await soon("the dead peer's end", dead.ended);
		await until("its source ended", async () => (await server.openSources()) === 1);
		living.send({ type: "ping" });
		expect((await living.next()).type).toBe("pong");
		living.destroy();
	});

	test("open sockets are counted, and none is left when their peers have gone", async () => {
		await using server = await startTestServer(runtime);
		const openSockets = async () => {
			const page = await (await fetch(`http://127.0.0.1:${server.metricsPort}/metrics`)).text();
			return Number(/muster_sockets\{kind="operator"\} (\d+)/.exec(page)?.[1]);
		};
		const sockets = await Promise.all([server.joined(), server.joined(), server.joined()]);
		expect(await openSockets()).toBe(3);
		for (const socket of sockets) socket.destroy();
		await until("none is counted", async () => (await openSockets()) === 0);
	});
});
