import { connect, type Socket } from "node:net";
import { EngineError, errorOf } from "../src/engine/error.ts";
import type { EngineDuplex, EngineRequest, EngineTransport } from "../src/engine/transport.ts";
import { errnoOf, reasonOf } from "./fatal.ts";

/** Where an engine listens. */
export type DockerAddress = { readonly socketPath: string } | { readonly host: string; readonly port: number };

const headBytesMax = 65_536;
const hijackMs = 30_000;

/**
 * The way to an engine at a Unix socket, or at a TCP port without TLS. What is not read is not fetched: a slow reader of a long log costs no memory.
 * Every failure to connect is an `EngineError` `docker_unavailable` with the remedy.
 */
export function dockerTransport(at: DockerAddress): EngineTransport {
	const base = "socketPath" in at ? "http://docker" : `http://${at.host.includes(":") ? `[${at.host}]` : at.host}:${at.port}`;
	const way = "socketPath" in at ? { unix: at.socketPath } : {};
	return {
		async request(request) {
			await refuseAbsent(at, request.signal);
			const init = {
				method: request.method,
				headers: { ...request.headers },
				redirect: "error" as const,
				signal: request.signal ?? null,
				// Bun's own limit of five minutes would end a log that is silent for so long.
				timeout: false,
				...(request.body === undefined ? {} : { body: request.body as BodyInit }),
				...way,
			};
			const response = await fetch(base + pathOf(request), init).catch((error: unknown) => {
				request.signal?.throwIfAborted();
				throw unavailable(at, error);
			});
			return { status: response.status, header: (name) => response.headers.get(name) ?? undefined, body: bodyOf(at, request, response) };
		},
		hijack: (request) => hijack(at, request),
	};
}

/** Why an engine cannot be reached, with the remedy. */
export function unavailable(at: DockerAddress, error: unknown): EngineError {
	const shown = "socketPath" in at ? at.socketPath : `tcp://${at.host}:${at.port}`;
	const remedies: Readonly<Record<string, string>> = {
		ENOENT: `there is no ${shown}: install and start Docker, or give the socket's path as MUSTER_DOCKER_SOCKET (off: do without)`,
		EACCES: `${shown} is closed to this user: add it to the group docker, and start the worker anew`,
		ECONNREFUSED: `nothing listens at ${shown}: start Docker, as with systemctl start docker`,
	};
	const why =
		remedies[errnoOf(error) ?? ""] ?? `${shown} does not answer (${reasonOf(error)}): start Docker, as with systemctl start docker`;
	return new EngineError("docker_unavailable", `Cannot use Docker: ${why}`, { cause: error });
}

// What fetch says of a socket that cannot be opened is the same whatever the reason; a connection of our own knows it.
function refuseAbsent(at: DockerAddress, signal: AbortSignal | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		signal?.throwIfAborted();
		const socket = open(at);
		const done = (end: () => void) => {
			signal?.removeEventListener("abort", abort);
			socket.destroy();
			end();
		};
		const abort = () => done(() => reject(signal?.reason));
		signal?.addEventListener("abort", abort, { once: true });
		socket.once("connect", () => done(resolve));
		socket.once("error", (error) => done(() => reject(unavailable(at, error))));
	});
}

async function* bodyOf(at: DockerAddress, { signal }: EngineRequest, { body }: Response): AsyncGenerator<Uint8Array> {
	try {
		for await (const chunk of body ?? []) yield chunk;
	} catch (error) {
		signal?.throwIfAborted();
		throw unavailable(at, error);
	}
}

function open(at: DockerAddress): Socket {
	return "socketPath" in at ? connect(at.socketPath) : connect(at.port, at.host);
}

function pathOf({ path, query }: EngineRequest): string {
	const text = new URLSearchParams(query).toString();
	return text === "" ? path : `${path}?${text}`;
}

/** Takes the connection over (docs: "Upgrade: tcp"). `fetch` cannot. */
function hijack(at: DockerAddress, request: EngineRequest): Promise<EngineDuplex> {
	return new Promise((resolve, reject) => {
		const socket = open(at);
		const fail = (error: unknown) => {
			socket.destroy();
			reject(error);
		};
		const abort = () => fail(request.signal?.reason);
		if (request.signal?.aborted) return abort();
		request.signal?.addEventListener("abort", abort, { once: true });
		socket.setTimeout(hijackMs, () =>
			fail(new EngineError("docker_unavailable", `Docker did not answer ${request.method} ${request.path} within 30 s`)),
		);
		socket.once("error", (error) => fail(unavailable(at, error)));
		const early = () => fail(unavailable(at, new Error("it closed the connection")));
		socket.once("end", early);
		const body = Buffer.from(request.body ?? "");
		const headers = { ...request.headers, host: "docker", connection: "Upgrade", upgrade: "tcp", "content-length": String(body.length) };
		const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
		socket.write(`${request.method} ${pathOf(request)} HTTP/1.1\r\n${lines.join("")}\r\n`);
		socket.write(body);
		let head = Buffer.alloc(0);
		const read = (chunk: Buffer) => {
			head = Buffer.concat([head, chunk]);
			const at = head.indexOf("\r\n\r\n");
			if (at < 0 && head.length <= headBytesMax) return;
			const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head.toString("latin1"))?.[1] ?? 0);
			socket.off("data", read);
			socket.off("end", early);
			socket.setTimeout(0);
			if (at >= 0 && (status === 101 || status === 200)) {
				// Left on: a signal that comes later cuts the connection.
				socket.pause();
				resolve(duplex(socket, head.subarray(at + 4)));
			} else {
				fail(errorOf(status, head.subarray(at + 4).toString("utf8")));
			}
		};
		socket.on("data", read);
	});
}

function duplex(socket: Socket, first: Buffer): EngineDuplex {
	// A connection that breaks is seen by who reads or writes.
	socket.on("error", () => {});
	async function* output(): AsyncGenerator<Uint8Array> {
		if (first.length > 0) yield first;
		for await (const chunk of socket as AsyncIterable<Buffer>) yield chunk;
	}
	return {
		output: output(),
		write: (data) => new Promise((resolve, reject) => void socket.write(data, (error) => (error ? reject(error) : resolve()))),
		end: () => void socket.end(),
		destroy: () => void socket.destroy(),
	};
}
