/**
 * A Portainer that is none: its API and its agents' poll protocol, with every documented refusal, in front of an engine in
 * memory or a real one's socket. What it cannot show is what a real one does differently; tests/api/portainer-client.test.ts asks that one when there is one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type FakeEngine, fakeEngine } from "./engine.ts";

interface FakeEnvironment {
	readonly Id: number;
	readonly Name: string;
	readonly EdgeKey: string;
	readonly interval: number;
	EdgeID: string;
	LastCheckInDate: number;
	/** Whether the agent has looked since the tunnel was asked for. */
	tunnel: "closed" | "required" | "open";
}

export interface FakePortainer {
	readonly url: string;
	readonly apiKey: string;
	readonly engine: FakeEngine;
	readonly environments: ReadonlyMap<number, FakeEnvironment>;
	/** The API calls it got, as `DELETE /api/endpoints/3`. */
	readonly asked: readonly string[];
	/** Agents' own certificates and the proxy's answers from a real socket in place of the engine in memory. */
	socket: string | undefined;
	/** Answers the next call of this form with this refusal instead. */
	failNext(call: RegExp, status: number, message: string): void;
	/** Does the next call of this form, and holds its answer until the function it returns is called. */
	holdNext(call: RegExp): () => void;
	/** Environment ids are handed out by the server (settings.EnforceEdgeID). */
	enforceEdgeId: string | undefined;
	/** While false the agents' polls are answered and no tunnel opens. */
	tunnels: boolean;
	close(): Promise<void>;
}

/** An Edge agent: it polls as its key says until it is stopped. */
export interface FakeAgent {
	/** What its last poll was answered. */
	readonly lastStatus: () => number;
	stop(): Promise<void>;
}

interface Answer {
	readonly status: number;
	readonly body?: unknown;
	readonly headers?: Readonly<Record<string, string>>;
}

const apiKey = "ptr_of-the-tests";
/** A real one waits two check-ins for the tunnel: ten seconds. */
const tunnelWaitMs = 500;

/** Starts one on a free port. */
export async function fakePortainer(): Promise<FakePortainer> {
	const environments = new Map<number, FakeEnvironment>();
	const asked: string[] = [];
	const failures: { call: RegExp; status: number; message: string }[] = [];
	const holds: { call: RegExp; until: Promise<void> }[] = [];
	let lastId = 0;
	const refuse = (status: number, message: string, details = ""): Answer => ({ status, body: { message, details } });
	const json = (body: unknown): Answer => ({ status: 200, body });

	function shown({ tunnel: _tunnel, interval, ...rest }: FakeEnvironment) {
		const Heartbeat = rest.LastCheckInDate > 0 && Date.now() / 1_000 - rest.LastCheckInDate <= 2 * interval + 20;
		// Of an Edge environment it says "up" from the beginning.
		return { ...rest, Type: 4, Status: 1, Heartbeat, EdgeCheckinInterval: interval };
	}

	async function create(body: Uint8Array, type: string): Promise<Answer> {
		const form = await new Response(new Uint8Array(body), { headers: { "content-type": type } }).formData();
		const field = (name: string) => {
			const value = form.get(name);
			return typeof value === "string" ? value : "";
		};
		if (field("EndpointCreationType") !== "4") return refuse(400, "Invalid request payload", "Invalid environment type value");
		if (field("ContainerEngine") !== "docker") return refuse(400, "Invalid request payload", "a newer one takes this for Kubernetes");
		if (field("URL") === "") return refuse(400, "Invalid request payload", "URL cannot be empty");
		const url = new URL(field("URL"));
		if (url.hostname === "localhost") return refuse(400, "Invalid request payload", "cannot use localhost as environment URL");
		const Name = field("Name");
		if ([...environments.values()].some((one) => one.Name === Name)) return refuse(409, "Name is not unique");
		const Id = ++lastId;
		const EdgeKey = Buffer.from(`${field("URL")}|${url.hostname}:8000|aa:bb|${Id}`)
			.toString("base64")
			.replace(/=+$/, "");
		const EdgeID = portainer.enforceEdgeId ?? "";
		const interval = Number(field("EdgeCheckinInterval") || 5);
		const made: FakeEnvironment = { Id, Name, EdgeKey, EdgeID, interval, LastCheckInDate: 0, tunnel: "closed" };
		environments.set(Id, made);
		return json(shown(made));
	}

	/** What an agent is answered. */
	function poll(environment: FakeEnvironment | undefined, message: IncomingMessage): Answer {
		if (message.headers["portainer-agent-platform"] === undefined) return refuse(400, "Invalid agent platform");
		const edgeId = String(message.headers["x-portaineragent-edgeid"] ?? "");
		const known = environment?.EdgeID === "" || environment?.EdgeID === edgeId;
		if (environment === undefined || edgeId === "" || !known)
			return refuse(403, "Permission denied to access environment. The device has not been trusted yet");
		environment.EdgeID = edgeId;
		environment.LastCheckInDate = Math.floor(Date.now() / 1_000);
		const status = environment.tunnel === "closed" ? "IDLE" : "REQUIRED";
		if (environment.tunnel === "required" && portainer.tunnels) environment.tunnel = "open";
		return {
			status: 200,
			headers: { etag: "a" },
			body: { status, port: 0, schedules: [], checkin: environment.interval, credentials: "", stacks: [] },
		};
	}

	/** The proxy: the first call blocks until the agent has opened its tunnel. */
	async function proxy(environment: FakeEnvironment, method: string, path: string, body: Uint8Array): Promise<Response | Answer> {
		if (environment.EdgeID === "") return refuse(500, "No Edge agent registered with the environment");
		if (environment.tunnel === "closed") environment.tunnel = "required";
		const end = Date.now() + tunnelWaitMs;
		while (environment.tunnel !== "open" && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
		if (environment.tunnel !== "open") return refuse(500, "Unable to get the active tunnel");
		if (portainer.socket === undefined) return portainer.engine.answer(method, path, Buffer.from(body).toString("utf8"));
		const init = { method, unix: portainer.socket, headers: { "content-type": "application/json" }, ...(body.length > 0 ? { body } : {}) };
		return fetch(`http://docker${path}`, init as RequestInit);
	}

	async function handle(message: IncomingMessage, body: Uint8Array): Promise<Response | Answer> {
		const method = message.method ?? "GET";
		const url = new URL(message.url ?? "/", "http://fake");
		const [, idText, rest = ""] = /^\/api\/endpoints\/(\d+)(\/.*)?$/.exec(url.pathname) ?? [];
		const environment = environments.get(Number(idText));
		if (rest === "/edge/status") return poll(environment, message);
		if (url.pathname === "/api/system/status") return json({ Version: "2.33.5", InstanceID: "fake" });
		if (message.headers.authorization !== undefined && message.headers["x-api-key"] !== undefined) return refuse(403, "Access denied");
		if (message.headers["x-api-key"] !== apiKey) return refuse(401, "A valid authorisation token is missing", "invalid API key");
		if (url.pathname === "/api/endpoints" && method === "POST") return create(body, message.headers["content-type"] ?? "");
		if (url.pathname === "/api/endpoints") {
			const name = url.searchParams.get("name") ?? "";
			return json([...environments.values()].filter(({ Name }) => Name.includes(name)).map(shown));
		}
		if (idText === undefined) return refuse(404, "Not found");
		if (environment === undefined) return refuse(404, "Unable to find an environment with the specified identifier inside the database");
		if (rest === "" && method === "DELETE") {
			environments.delete(environment.Id);
			return { status: 204 };
		}
		if (rest.startsWith("/docker/")) return proxy(environment, method, `${rest.slice("/docker".length)}${url.search}`, body);
		return json(shown(environment));
	}

	async function serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
		const parts: Uint8Array[] = [];
		for await (const part of message) parts.push(part as Uint8Array);
		const call = `${message.method} ${(message.url ?? "").replace(/\?.*$/, "")}`;
		if (!call.includes("/edge/")) asked.push(call);
		const failure = failures.findIndex((one) => one.call.test(call));
		const [failed] = failure < 0 ? [] : failures.splice(failure, 1);
		const answer = failed === undefined ? await handle(message, Buffer.concat(parts)) : refuse(failed.status, failed.message);
		const hold = holds.findIndex((one) => one.call.test(call));
		if (hold >= 0) await holds.splice(hold, 1)[0]?.until;
		if (answer instanceof Response) {
			response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
			response.end(Buffer.from(await answer.arrayBuffer()));
			return;
		}
		response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
		response.end(answer.body === undefined ? "" : JSON.stringify(answer.body));
	}

	const server = createServer((message, response) => {
		serve(message, response).catch(() => response.destroy());
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const portainer: FakePortainer = {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		apiKey,
		engine: fakeEngine(),
		environments,
		asked,
		socket: undefined,
		enforceEdgeId: undefined,
		tunnels: true,
		failNext: (call, status, message) => void failures.push({ call, status, message }),
		holdNext(call) {
			const { promise, resolve } = Promise.withResolvers<void>();
			holds.push({ call, until: promise });
			return resolve;
		},
		async close() {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
	return portainer;
}

/** Runs an Edge agent with the key it was given, as its container would. Its polls come fifty times as often as a real one's. */
export function fakeAgent({ edgeKey, edgeId }: { readonly edgeKey: string; readonly edgeId: string }): FakeAgent {
	const [url = "", , , id = ""] = Buffer.from(edgeKey, "base64").toString("utf8").split("|");
	const headers = { "x-portaineragent-edgeid": edgeId, "portainer-agent-platform": "1", "portainer-agent": "2.33.5" };
	let status = 0;
	let stopped = false;
	const polling = (async () => {
		while (!stopped) {
			status = await fetch(`${url}/api/endpoints/${id}/edge/status`, { headers }).then(
				(response) => response.status,
				() => 0,
			);
			await new Promise((resolve) => setTimeout(resolve, 50));
		}
	})();
	return {
		lastStatus: () => status,
		async stop() {
			stopped = true;
			await polling;
		},
	};
}
