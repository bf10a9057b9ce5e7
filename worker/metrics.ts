import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { exitCodes } from "../src/protocol/codes.ts";
import type { DockerState } from "./docker.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";
import type { Loop } from "./loop-port.ts";
import type { Mesh } from "./mesh-port.ts";
import { hostMetrics, type HostSource } from "./metrics-host.ts";
import { type Metric, metricsContentType, renderMetrics } from "./metrics-text.ts";
import { meshMetrics } from "./metrics-mesh.ts";
import type { Progress } from "./metrics-worker.ts";

/** What the page is made of. */
export interface MetricsDeps {
	readonly progress: Progress;
	/** Undefined: off. */
	readonly mesh?: Pick<Mesh, "figures"> | undefined;
	readonly host: HostSource;
	/** What is done beside heartbeats; undefined: nothing. */
	readonly beside?: { metrics(): readonly Metric[]; readonly docker: DockerState };
	readonly stateDir: string;
	readonly version: string;
	readonly platform: string;
	/** This process, so that `status` can tell this worker from whatever else may answer on the port. */
	readonly pid: number;
}

/** An open metrics listener. */
export interface MetricsListener {
	readonly port: number;
	/** Stops listening and cuts every connection. */
	close(): Promise<void>;
}

// A scraper sends a few hundred bytes once in some seconds; whoever is slower than this holds the connection for its own sake.
const requestMs = 5_000;

/**
 * Serves GET /metrics and /healthz on a port (0: a free one). On all interfaces, as node_exporter does: the scraper is another host, and what is
 * told is no secret. Rejects with `Fatal` 78 when the port cannot be had.
 */
export async function startMetrics(deps: MetricsDeps, port: number): Promise<MetricsListener> {
	const server = createServer((request, response) => void answer(deps, request, response));
	server.requestTimeout = requestMs;
	server.headersTimeout = requestMs;
	await listen(server, port);
	const address = server.address();
	return {
		port: typeof address === "object" && address !== null ? address.port : port,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

/** A loop that begins once the listener is open, and whose end closes it. When it cannot be opened, `done` rejects and nothing has begun. */
export function behindListener(opening: Promise<MetricsListener>, begin: () => Loop): Loop {
	const early: string[] = [];
	let loop: Loop | undefined;
	async function run(): Promise<number> {
		const listener = await opening;
		try {
			loop = begin();
			for (const name of early) loop.signal(name);
			return await loop.done;
		} finally {
			await listener.close();
		}
	}
	return {
		done: run(),
		signal(name) {
			if (loop === undefined) early.push(name);
			else loop.signal(name);
		},
	};
}

function listen(server: Server, port: number): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("error", (error) => reject(refused(port, error)));
		server.listen(port, resolve);
	});
}

function refused(port: number, error: unknown): Fatal {
	const whys: Readonly<Record<string, string>> = {
		EADDRINUSE: "another program has it (node_exporter has 9100 by default)",
		EACCES: "this user may not have it (below 1024, only root may)",
	};
	const why = whys[errnoOf(error) ?? ""] ?? reasonOf(error);
	return new Fatal(
		exitCodes.config,
		`Cannot serve metrics on port ${port}: ${why}; give a free port with MUSTER_METRICS_PORT, or "off" to serve none`,
		{ cause: error },
	);
}

async function answer(deps: MetricsDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const path = (request.url ?? "").replace(/\?.*$/s, "");
	if (path !== "/metrics" && path !== "/healthz") return send(response, 404, "text/plain", "Not found: see /metrics and /healthz\n");
	if (request.method !== "GET" && request.method !== "HEAD") {
		response.setHeader("allow", "GET, HEAD");
		return send(response, 405, "text/plain", "Only GET\n");
	}
	if (path === "/healthz") {
		const health = deps.progress.health();
		const docker = deps.beside?.docker;
		const engine = docker === undefined ? null : docker.up ? { up: true, version: docker.info.version } : { up: false, reason: docker.why };
		const line = JSON.stringify({ service: "muster-worker", pid: deps.pid, ...health, docker: engine });
		return send(response, health.status === "ok" ? 200 : 503, "application/json", `${line}\n`);
	}
	const page = renderMetrics([
		...deps.progress.metrics(deps),
		...(deps.beside?.metrics() ?? []),
		...meshMetrics(deps.mesh?.figures()),
		...(await hostMetrics(deps.host, deps.stateDir)),
	]);
	send(response, 200, metricsContentType, page);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
	response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), "cache-control": "no-store" }).end(text);
}
