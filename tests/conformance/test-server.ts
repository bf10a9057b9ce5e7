/** Starts the program under test and speaks to it. */
import { type Program, type RuntimeName, startProgram } from "../support/runtimes.ts";
import { openRawSocket, type RawSocket, type RawSocketOptions, rawSocket } from "./raw-socket.ts";
import type { TestServerOptions } from "./server.ts";

export interface Reply {
	readonly status: number;
	readonly headers: Headers;
	// The shape depends on what was asked; each test says what it expects.
	readonly body: {
		readonly data?: Record<string, unknown>;
		readonly errors?: readonly { message: string; extensions?: Record<string, unknown> }[];
	};
}

export interface TestServer {
	readonly program: Program;
	readonly port: number;
	readonly metricsPort: number;
	url(path: string): string;
	/** One operation over HTTP. */
	ask(query: string): Promise<Reply>;
	/** The body of an event stream, as it comes. */
	stream(query: string, signal?: AbortSignal): Promise<Response>;
	/** A socket, `connection_init` not yet sent. */
	socket(options?: Omit<RawSocketOptions, "port">): Promise<RawSocket>;
	openSocket(options?: Omit<RawSocketOptions, "port">): ReturnType<typeof openRawSocket>;
	/** A socket that was let in. */
	joined(options?: Omit<RawSocketOptions, "port">): Promise<RawSocket>;
	/** How many subscriptions' sources run in it. */
	openSources(): Promise<number>;
	/** How many HTTP requests' heads it has got, with the one that asks. */
	begunRequests(): Promise<number>;
	[Symbol.asyncDispose](): Promise<void>;
}

/** Starts one; `await using` ends it. */
export async function startTestServer(runtime: RuntimeName, options: TestServerOptions = {}): Promise<TestServer> {
	const program = await startProgram(runtime, "tests/conformance/server.ts", { TEST_OPTIONS: JSON.stringify(options) });
	const port = Number(program.hello.port);
	const url = (path: string) => `http://127.0.0.1:${port}${path}`;
	const post = (query: string, accept: string, signal?: AbortSignal) =>
		fetch(url("/graphql"), {
			method: "POST",
			headers: { "content-type": "application/json", accept },
			body: JSON.stringify({ query }),
			...(signal === undefined ? {} : { signal }),
		});

	async function ask(query: string): Promise<Reply> {
		const response = await post(query, "application/json");
		return { status: response.status, headers: response.headers, body: await response.json() };
	}

	return {
		program,
		port,
		metricsPort: Number(program.hello.metricsPort),
		url,
		ask,
		stream: (query, signal) => post(query, "text/event-stream", signal),
		socket: (socketOptions) => rawSocket({ port, ...socketOptions }),
		openSocket: (socketOptions) => openRawSocket({ port, ...socketOptions }),
		async joined(socketOptions) {
			const socket = await rawSocket({ port, ...socketOptions });
			socket.send({ type: "connection_init" });
			await socket.next();
			return socket;
		},
		openSources: async () => Number((await ask("{ openSources }")).body.data?.openSources),
		begunRequests: async () => Number((await ask("{ begunRequests }")).body.data?.begunRequests),
		[Symbol.asyncDispose]: () => program.stop(),
	};
}
