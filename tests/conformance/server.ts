/** The program under test: the real adapters and HTTP side around a small schema. Prints its port as JSON, ends on SIGTERM. */
import process from "node:process";
import { MusterError } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import { metricsHandler } from "../../src/http/metrics.ts";
import { createSockets, type SocketOptions } from "../../src/http/socket.ts";
import { openLog } from "../../src/lib/log.ts";
import { systemRandom } from "../../src/lib/random.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { requestBegan, schema, type TestContext, type TestPrincipal } from "./schema.ts";

/** What a test may set, as JSON in TEST_OPTIONS. */
export interface TestServerOptions
	extends Partial<Omit<SocketOptions<TestPrincipal, TestContext>, "app" | "authenticate" | "onOpen" | "onClose">> {
	readonly introspection?: boolean;
	readonly bodyBytesMax?: number;
	readonly streamStallMs?: number;
	readonly trustedProxies?: readonly string[];
	readonly databaseDown?: boolean;
}

const {
	introspection = true,
	bodyBytesMax = 1024 * 1024,
	trustedProxies = [],
	databaseDown = false,
	streamStallMs = 30_000,
	...sockets
}: TestServerOptions = JSON.parse(process.env.TEST_OPTIONS ?? "{}");

const runtime = await selectRuntime();
const log = openLog({ level: "info", format: "json" }, (line) => process.stderr.write(`${line}\n`));
const metrics = createMetrics();
const app = createApp<TestPrincipal, TestContext>({
	schema,
	createContext: ({ socket }) => ({ madeFor: socket === undefined ? "over HTTP" : "on a socket" }),
	config: { introspection, trustedProxies },
	ready: async () => [{ name: "database", ok: !databaseDown, reason: databaseDown ? "no connection" : undefined }],
	log,
	random: systemRandom,
	metricsHook: (route, status) => metrics.httpRequest(route, status),
	streamStallMs,
});

async function authenticate(params: Readonly<Record<string, unknown>>): Promise<TestPrincipal | undefined> {
	switch (params.authorization) {
		case "Bearer unknown":
			return undefined;
		case "Bearer revoked":
			throw new MusterError("UNAUTHENTICATED", "The token was revoked: ask for another");
		case "Bearer fault":
			throw new Error("the raw text of a fault");
		default:
			return { name: typeof params.authorization === "string" ? params.authorization : "anonymous" };
	}
}

const listener = await runtime.serve({
	listen: { hostname: "127.0.0.1", port: 0 },
	fetch(request, info) {
		requestBegan();
		return app.fetch(request, info);
	},
	sockets: createSockets({
		...sockets,
		app,
		authenticate,
		onOpen: ({ name }, socket) => {
			metrics.sockets("operator", 1);
			if (name === "Bearer replaced") socket.close(4424, "Another socket took over");
		},
		onClose: () => metrics.sockets("operator", -1),
	}),
	bodyBytesMax,
	onFault: (error) => log.error("listener.fault", { error }),
});
const metricsListener = await runtime.serve({
	listen: { hostname: "127.0.0.1", port: 0 },
	fetch: metricsHandler(metrics),
	bodyBytesMax: 0,
	onFault: (error) => log.error("listener.fault", { error }),
});

runtime.onUncaught((error) => {
	log.error("process.uncaught", { error });
	return false;
});
async function end(): Promise<void> {
	app.endStreams();
	await Promise.all([listener.stop(2_000), metricsListener.stop(2_000)]);
	runtime.exit(0);
}
runtime.onSignal(() => void end());
process.stdout.write(
	`${JSON.stringify({ port: listener.address.port, metricsPort: metricsListener.address.port, runtime: runtime.name })}\n`,
);
