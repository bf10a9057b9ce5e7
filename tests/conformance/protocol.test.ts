import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

// For hangs only; see support/until.ts.
setDefaultTimeout(60_000);

const frameBytesMax = 128 * 1024;

/** graphql-transport-ws: what a client does wrong, and the close code it is told. */
describe.each([...runtimeNames])("sockets on %s", (runtime) => {
	let server: TestServer;
	beforeAll(async () => {
		server = await startTestServer(runtime, { frameBytesMax, socketsPerAddressMax: 50 });
	});
	afterAll(() => server[Symbol.asyncDispose]());

	const subscribe = (id: string, query: string) => ({ id, type: "subscribe", payload: { query } });

	test("an operation gets its result and its end", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "{ hello whoAmI }"));
		const data = { hello: "world", whoAmI: "anonymous from 127.0.0.1 on a socket" };
		expect(await socket.next()).toEqual({ id: "1", type: "next", payload: { data } });
		expect(await socket.next()).toEqual({ id: "1", type: "complete" });
		expect(socket.subprotocol).toBe("graphql-transport-ws");
		socket.destroy();
	});

	test("a mutation runs, and a resolver sees the request that opened the socket", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", 'mutation { echo(text: "a") }'));
		expect((await socket.next()).payload).toEqual({ data: { echo: "a" } });
		await socket.next();
		socket.send(subscribe("2", "{ path }"));
		expect((await socket.next()).payload).toEqual({ data: { path: "/graphql" } });
		socket.destroy();
	});

	test("a subscription's events come in order and end", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "subscription { counter(to: 3) }"));
		const messages = [await socket.next(), await socket.next(), await socket.next(), await socket.next()];
		expect(messages.map(({ payload }) => payload)).toEqual([
			{ data: { counter: 0 } },
			{ data: { counter: 1 } },
			{ data: { counter: 2 } },
			undefined,
		]);
		socket.destroy();
	});

	test("an upgrade without a subprotocol in common is answered 400", async () => {
		for (const subprotocol of [undefined, "graphql-ws", "made-up, other"]) {
			expect(await server.openSocket({ subprotocol })).toMatchObject({ status: 400 });
		}
	});

	test("an upgrade at another path is answered 404", async () => {
		expect(await server.openSocket({ path: "/elsewhere" })).toMatchObject({ status: 404 });
	});

	test("the right one of several subprotocols is chosen", async () => {
		const socket = await server.socket({ subprotocol: "made-up, graphql-transport-ws" });
		expect(socket.subprotocol).toBe("graphql-transport-ws");
		socket.destroy();
	});

	test.each([
		["what is no JSON", "{nonsense"],
		["a message of no known type", JSON.stringify({ type: "made-up" })],
		["JSON that is no object", "[]"],
	])("%s closes 4400", async (_title, text) => {
		const socket = await server.joined();
		socket.send(text);
		expect((await socket.closed).code).toBe(4400);
		await socket.ended;
	});

	test("an operation before connection_ack closes 4401", async () => {
		const socket = await server.socket();
		socket.send(subscribe("1", "{ hello }"));
		expect((await socket.closed).code).toBe(4401);
	});

	test.each([
		["a credential that nobody knows", "Bearer unknown", "Forbidden"],
		["a credential that was refused with a reason", "Bearer revoked", "The token was revoked: ask for another"],
	])("%s closes 4403", async (_title, authorization, reason) => {
		const socket = await server.socket();
		socket.send({ type: "connection_init", payload: { authorization } });
		expect(await socket.closed).toEqual({ code: 4403, reason });
	});

	test("a fault while a credential is checked closes 4500 and says nothing of it", async () => {
		const socket = await server.socket();
		socket.send({ type: "connection_init", payload: { authorization: "Bearer fault" } });
		expect(await socket.closed).toEqual({ code: 4500, reason: "Internal server error" });
		await until("the log has the fault", () => server.program.stderr().includes("the raw text of a fault"));
	});

	test("the program can close a socket it holds, with a code of its own", async () => {
		const socket = await server.socket();
		socket.send({ type: "connection_init", payload: { authorization: "Bearer replaced" } });
		expect(await socket.closed).toEqual({ code: 4424, reason: "Another socket took over" });
	});

	test("a socket without connection_init closes 4408", async () => {
		await using impatient = await startTestServer(runtime, { initTimeoutMs: 200 });
		const socket = await impatient.socket();
		expect((await socket.closed).code).toBe(4408);
	});

	test("a socket that said connection_init in time stays when the time is over", async () => {
		await using patient = await startTestServer(runtime, { initTimeoutMs: 3_000 });
		const socket = await patient.joined();
		// Whoever came later and said nothing is gone, so the first one's time was over before.
		expect((await (await patient.socket()).closed).code).toBe(4408);
		socket.send({ type: "ping" });
		expect((await socket.next()).type).toBe("pong");
	});

	test("an operation id in use closes 4409", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "subscription { quiet }"));
		await socket.next();
		socket.send(subscribe("1", "subscription { quiet }"));
		expect((await socket.closed).code).toBe(4409);
	});

	test("a second connection_init closes 4429", async () => {
		const socket = await server.joined();
		socket.send({ type: "connection_init" });
		expect((await socket.closed).code).toBe(4429);
	});

	test("a frame past the limit closes 1009, one at the limit is read", async () => {
		const socket = await server.joined();
		const pingOf = (bytes: number) => {
			const frame = (filler: string) => JSON.stringify({ type: "ping", payload: { filler } });
			return frame("x".repeat(bytes - frame("").length));
		};
		socket.send(pingOf(frameBytesMax));
		expect((await socket.next()).type).toBe("pong");
		socket.send(pingOf(frameBytesMax + 1));
		expect((await socket.closed).code).toBe(1009);
	});

	test("a binary frame closes the socket", async () => {
		const socket = await server.joined();
		socket.sendBinary(new TextEncoder().encode('{"type":"ping"}'));
		expect((await socket.closed).code).toBe(1003);
	});

	test("a faulty document is the operation's error, in readable words, and the socket lives on", async () => {
		const socket = await server.joined();
		for (const [query, message] of [
			["{ hello", "Syntax Error: Expected Name, found <EOF>."],
			["{ nothing }", 'Cannot query field "nothing" on type "Query".'],
			["{ never(", "Syntax Error: Expected Name, found <EOF>."],
		]) {
			socket.send(subscribe("1", query ?? ""));
			const reply = await socket.next();
			expect(reply).toMatchObject({ id: "1", type: "error", payload: [{ message }] });
			expect(JSON.stringify(reply)).not.toContain('"http"');
		}
		socket.send(subscribe("1", "{ hello }"));
		expect((await socket.next()).payload).toEqual({ data: { hello: "world" } });
		socket.destroy();
	});

	test("documents past the limits are refused like over HTTP", async () => {
		const socket = await server.joined();
		const aliases = `{ ${Array.from({ length: 40 }, (_, index) => `a${index}: hello`).join(" ")} }`;
		const tokens = `{ ${"hello ".repeat(2_100)} }`;
		const long = `{ hello } # ${"x".repeat(70_000)}`;
		for (const [query, text] of [
			[aliases, "Aliases limit"],
			[tokens, "Token limit"],
			[long, "characters"],
		]) {
			socket.send(subscribe("1", query ?? ""));
			const reply = JSON.stringify(await socket.next());
			expect(reply).toContain(text ?? "");
			expect(JSON.stringify((await server.ask(query ?? "")).body)).toContain(text ?? "");
		}
		socket.destroy();
	});

	test("a resolver's raw error reaches nobody, a refusal keeps its code and words", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "{ fault refused }"));
		const { payload } = await socket.next();
		expect(payload).toMatchObject({
			data: { fault: null, refused: null },
			errors: [
				{ message: "Unexpected error", extensions: { code: "INTERNAL_SERVER_ERROR" } },
				{ message: 'Cannot take the name "a": choose another', extensions: { code: "CONFLICT", fields: ["name"] } },
			],
		});
		expect(JSON.stringify(payload)).not.toContain("raw text");
		socket.destroy();
	});

	test("a subscription whose source fails ends with a masked error", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "subscription { failing }"));
		await socket.next();
		const failed = await socket.next();
		expect(failed).toMatchObject({
			type: "error",
			payload: [{ message: "Unexpected error", extensions: { code: "INTERNAL_SERVER_ERROR" } }],
		});
		socket.destroy();
	});

	test("a subscriber that falls behind is closed 4413", async () => {
		const socket = await server.joined();
		socket.send(subscribe("1", "subscription { overflowing }"));
		expect((await socket.closed).code).toBe(4413);
		await until("its source ended", async () => (await server.openSources()) === 0);
	});

	test.each(["complete", "close", "cut"])("a subscription's source ends when its reader leaves (%s)", async (way) => {
		const socket = await server.joined();
		socket.send(subscribe("1", "subscription { quiet }"));
		await socket.next();
		expect(await server.openSources()).toBe(1);
		if (way === "complete") socket.send({ id: "1", type: "complete" });
		else if (way === "close") socket.send("{nonsense");
		else socket.destroy();
		await until("its source ended", async () => (await server.openSources()) === 0);
		socket.destroy();
	});

	test("a socket past the cap of its address is answered 503, and one may come when one has gone", async () => {
		const open = await Promise.all(Array.from({ length: 50 }, () => server.joined()));
		expect(await server.openSocket()).toMatchObject({ status: 503 });
		open[0]?.destroy();
		const late = await until("a place is free", async () => {
			const opened = await server.openSocket();
			return "socket" in opened ? opened.socket : undefined;
		});
		for (const socket of [late, ...open]) socket.destroy();
	});
});

describe.each([...runtimeNames])("introspection off on %s", (runtime) => {
	test("it is refused over HTTP and over a socket, and no error suggests a name", async () => {
		await using server = await startTestServer(runtime, { introspection: false });
		const socket = await server.joined();
		for (const query of ["{ __schema { types { name } } }", '{ __type(name: "Query") { name } }', "{ helo }"]) {
			const { errors } = (await server.ask(query)).body;
			expect(errors?.length).toBeGreaterThan(0);
			expect(JSON.stringify(errors)).not.toContain("Did you mean");
			socket.send({ id: "1", type: "subscribe", payload: { query } });
			const reply = await socket.next();
			expect(reply.type).toBe("error");
			expect(JSON.stringify(reply)).not.toContain("Did you mean");
		}
		expect((await server.ask("{ __typename }")).body.data).toEqual({ __typename: "Query" });
		socket.destroy();
	});
});
