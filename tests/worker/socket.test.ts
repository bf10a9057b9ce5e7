import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket as TcpSocket } from "node:net";
import { Secret } from "../../src/lib/secret.ts";
import { parseEndpoint } from "../../worker/address.ts";
import { callCheck, callEnroll } from "../../worker/client.ts";
import type { Credential } from "../../worker/identity.ts";
import { openSocket, type Socket } from "../../worker/socket.ts";
import { type ControlPlane, startControlPlane } from "../support/fakes/control-plane.ts";

interface End {
	readonly code: number;
	readonly why: string;
	readonly upgradeStatus: number | undefined;
}

function endpointOf(url: string) {
	const endpoint = parseEndpoint(url);
	if (endpoint === undefined) throw new Error(`${url} is no address`);
	return endpoint;
}

/** Opens a socket; resolves with how it ended. */
function untilClosed(url: string, credential: Credential, opened: (socket: Socket) => void = () => {}, nodeName?: string): Promise<End> {
	return new Promise((resolve) => {
		const socket: Socket = openSocket(endpointOf(url), credential, nodeName, {
			opened: () => opened(socket),
			closed: resolve,
			pinged() {},
			ponged() {},
		});
	});
}

function member(plane: ControlPlane, name = "edge-1"): Credential {
	const { workerId, apiKey } = plane.createWorker(name);
	return { workerId, apiKey: new Secret(apiKey) };
}

const stranger: Credential = { workerId: "wrk_x", apiKey: new Secret("wrong") };

test("B6: a refused credential ends the socket with 4403", async () => {
	await using plane = await startControlPlane();

	expect(await untilClosed(plane.url, stranger)).toMatchObject({ code: 4403, upgradeStatus: undefined });
});

test("H9: another node name ends the socket with 4403", async () => {
	await using plane = await startControlPlane();

	expect(await untilClosed(plane.url, member(plane), undefined, "edge-2")).toMatchObject({ code: 4403 });
});

test.each([401, 503])("B6: a server that answers the upgrade with %d is told apart from one that is down", async (status) => {
	const server = createServer();
	server.on("upgrade", (_request, socket) => socket.end(`HTTP/1.1 ${status} No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`));
	const url = await listen(server);
	try {
		expect(await untilClosed(url, stranger)).toMatchObject({ code: 1006, upgradeStatus: status });
	} finally {
		server.closeAllConnections();
		server.close();
	}
	expect(await untilClosed(url, stranger)).toMatchObject({ code: 1006, upgradeStatus: undefined });
});

test("H9: a socket that is cut off says so once, even when nobody is there to answer", async () => {
	await using plane = await startControlPlane();

	const end = await untilClosed(plane.url, member(plane), (socket) => socket.terminate());

	expect(end).toMatchObject({ code: 1006 });
	await plane.until(() => plane.openSockets === 0);
});

test("H9: a socket that is cut off gives its connection back although the peer does not answer", async () => {
	const gone = Promise.withResolvers<void>();
	const server = createTcpServer((connection) => {
		connection.once("data", (request) => greet(connection, request.toString("latin1")));
		connection.on("close", () => gone.resolve());
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	try {
		await untilClosed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, stranger, (socket) => socket.terminate());
		await gone.promise;
	} finally {
		server.close();
	}
});

test.each([1000, 1001, 4424])("H9: closed with %d by the server, the socket says so and does not come back by itself", async (code) => {
	await using plane = await startControlPlane();

	expect(await untilClosed(plane.url, member(plane), () => plane.closeSockets(code, "because"))).toMatchObject({ code });
	// Whoever comes back by itself is here before the next one.
	await untilClosed(plane.url, member(plane, "edge-2"), (socket) => socket.terminate());
	expect(plane.connections).toHaveLength(2);
});

test("H9: a heartbeat is answered, and rejected once its socket is gone", async () => {
	await using plane = await startControlPlane();
	const beat = { bootId: "boot", sequence: 1, memoryUsedBytes: 1, uptimeSeconds: 1 };
	const { promise: whenOpen, resolve } = Promise.withResolvers<Socket>();
	const ended = untilClosed(plane.url, member(plane), resolve);
	const socket = await whenOpen;

	expect(await socket.beat(beat)).toEqual({ serverTime: expect.any(String), nextInSeconds: plane.nextInSeconds });

	socket.terminate();
	await ended;
	expect(await socket.beat(beat).catch(() => "rejected")).toBe("rejected");
});

test("B6: the HTTP check tells a good credential, a refused one and a network apart", async () => {
	await using plane = await startControlPlane();
	const good = member(plane);
	const check = (url: string, credential: Credential) => callCheck(fetch, endpointOf(url), credential, new AbortController().signal);

	expect(await check(plane.url, good)).toBe("accepted");
	expect(await check(plane.url, stranger)).toBe("refused");
	expect(await check("http://127.0.0.1:9", good)).toBe("unreachable");
	expect(await check(`${plane.url}/elsewhere`, good)).toBe("unreachable");
});

test.each([
	[
		"a validation error",
		400,
		'{"errors":[{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}',
		true,
		"no such field (HTTP 400)",
	],
	["a masked fault", 500, '{"data":null,"errors":[{"message":"Unexpected error"}]}', false, "Unexpected error (HTTP 500)"],
	["a redirect", 307, "", false, "it redirects (HTTP 307) to /graphql"],
	["another program's JSON", 200, '{"hello":"world"}', false, "HTTP 200 without a GraphQL reply"],
	["an endless reply", 200, `{"errors":[{"message":"${"x".repeat(300_000)}"}]}`, false, "HTTP 200 without a GraphQL reply"],
	["a reply of a later protocol", 200, '{"data":{"enroll":{"__typename":"Postponed"}}}', false, "not one this version understands"],
] as const)("A16: %s in answer to enroll is told with status and address", async (_, status, body, permanent, why) => {
	await using plane = await startControlPlane();
	plane.mishaps.push({ kind: "raw", status, body, headers: { location: "/graphql" } });

	const answer = await callEnroll(fetch, endpointOf(plane.url), {}, new AbortController().signal);

	expect(answer).toEqual({ kind: "unanswered", permanent, why: expect.stringContaining(why) });
	expect(JSON.stringify(answer)).toContain(`${plane.url}/graphql`);
});

async function listen(server: Server): Promise<string> {
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Opens a WebSocket by hand and lets the worker in; afterwards this peer reads and answers nothing. */
function greet(connection: TcpSocket, request: string): void {
	const key = /sec-websocket-key: (.*)\r\n/i.exec(request)?.[1] ?? "";
	const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
	const head = ["HTTP/1.1 101 Switching Protocols", "upgrade: websocket", "connection: upgrade", `sec-websocket-accept: ${accept}`];
	connection.write(`${head.join("\r\n")}\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n`);
	const acknowledged = Buffer.from('{"type":"connection_ack"}');
	connection.write(Buffer.concat([Buffer.from([0x81, acknowledged.length]), acknowledged]));
	connection.resume();
}
