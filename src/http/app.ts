import type { GraphQLSchema } from "graphql";
import { createYoga, type Plugin } from "graphql-yoga";
import { boundedMap } from "../lib/bounded-map.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Route } from "../metrics/registry.ts";
import type { RequestInfo } from "../runtime/port.ts";
import { parseCidrs, sourceAddress } from "./address.ts";
import { type EventStream, watchEventStream } from "./event-stream.ts";
import { createGraphiQL, graphiqlPath } from "./graphiql.ts";
import { welcomeQuery } from "./graphiql-client.ts";
import { type HealthCheck, live, readiness } from "./health.ts";
import { liveSubscriptions } from "./live.ts";
import { createMask, type ErrorMask } from "./mask.ts";
import { documentLimits, documentRules, maskResults, watchRootFields } from "./plugins.ts";
import { harden, problem, restated } from "./respond.ts";
import { endless, type HttpReply, type OperationScope } from "./scope.ts";

export interface AppOptions<Principal, Context extends object> {
	readonly schema: GraphQLSchema;
	/**
	 * What resolvers get besides the scope. Over HTTP called for each operation; on a socket once, after `connection_init`.
	 * A MusterError it throws is the operation's answer.
	 */
	createContext(scope: OperationScope<Principal>): Context | Promise<Context>;
	readonly config: { readonly introspection: boolean; readonly trustedProxies: readonly string[] };
	/** Asked for each `/health/ready`, answers within two seconds or counts as failed. */
	ready(): Promise<readonly HealthCheck[]>;
	readonly log: Log;
	readonly random: Random;
	/** Told of each answered request. */
	metricsHook?(route: Route, status: number): void;
	/** More routes, asked before the 404: install script, downloads. Undefined: not mine. */
	extraRoutes?(request: Request, pathname: string): Response | Promise<Response> | undefined;
	/** What GraphiQL shows first. */
	readonly graphiqlQuery?: string;
	/** A reader of an event stream that takes nothing for this long is cut. Default 30,000. */
	readonly streamStallMs?: number;
}

/** What one HTTP request carries through Yoga besides its scope. */
interface HttpScope<Principal> extends OperationScope<Principal> {
	stream: EventStream | undefined;
	hasFallenBehind: boolean;
}

/** What a reader gets that fell behind, in the words of GraphQL over SSE. The blank lines end an event that may be half written. */
const fellBehindEvents = `\n\nevent: next\ndata: ${JSON.stringify({
	errors: [{ message: "The subscriber fell behind: reconnect and read the state anew", extensions: { code: "FELL_BEHIND" } }],
})}\n\nevent: complete\ndata:\n\n`;
const stoppingEvents = "\n\nevent: complete\ndata:\n\n";
/** Parsed documents kept: at 64 KiB each at most 16 MiB, and a fleet uses a dozen. */
const documentsKept = 256;

/** The HTTP side of the program: GraphQL, GraphiQL, health. */
export type App<Principal, Context extends object> = ReturnType<typeof createApp<Principal, Context>>;

/** Makes it. Starts nothing and holds no timer until a request comes. */
export function createApp<Principal, Context extends object>(options: AppOptions<Principal, Context>) {
	const { log, random } = options;
	const trusted = parseCidrs(options.config.trustedProxies);
	const mask = createMask(log);
	const newRequestId = () => Buffer.from(random.bytes(9)).toString("base64url");
	// Yoga copies the scope it is given; the reply object is the part that stays the same.
	const singles = new WeakSet<HttpReply>();
	const yoga = openYoga(options, mask, newRequestId, singles);
	const graphiql = createGraphiQL({ title: "Muster", defaultQuery: options.graphiqlQuery ?? welcomeQuery });
	const streams = new Set<EventStream>();
	let stopping = false;

	const sourceOf = (request: Request, peerAddress: string) => sourceAddress(peerAddress, request.headers.get("x-forwarded-for"), trusted);

	async function graphql(request: Request, peerAddress: string, requestId: string): Promise<Response> {
		if (request.method === "GET" && request.headers.get("accept")?.includes("text/html") === true) return graphiql.page();
		// What an HTML form can send without a preflight is refused before it is read, so no page elsewhere can post for its reader.
		if (request.method === "POST" && !isJson(request)) {
			return problem(415, "UNSUPPORTED_MEDIA_TYPE", "POST needs content-type: application/json");
		}
		const http: HttpReply = { headers: {} };
		const scope: HttpScope<Principal> = {
			request,
			requestId,
			sourceAddress: sourceOf(request, peerAddress),
			principal: undefined,
			socket: undefined,
			http,
			signal: endless,
			stream: undefined,
			hasFallenBehind: false,
			fellBehind() {
				scope.hasFallenBehind = true;
				scope.stream?.end(fellBehindEvents);
			},
		};
		const response = await yoga.fetch(request, scope);
		if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) return superviseStream(response, scope);
		response.headers.set("cache-control", "no-store");
		return singles.has(http) ? restated(response, http.status ?? response.status, http.headers) : response;
	}

	function superviseStream(response: Response, scope: HttpScope<Principal>): Response {
		if (response.body === null) return response;
		const stream = watchEventStream(response.body, options.streamStallMs ?? 30_000, () => streams.delete(stream));
		streams.add(stream);
		scope.stream = stream;
		if (scope.hasFallenBehind) stream.end(fellBehindEvents);
		else if (stopping) stream.end(stoppingEvents);
		return new Response(stream.body, { status: response.status, headers: response.headers });
	}

	async function route(request: Request, pathname: string, info: RequestInfo, requestId: string): Promise<[Route, Response]> {
		if (pathname === "/graphql" || pathname === "/graphql/") return ["/graphql", await graphql(request, info.peerAddress, requestId)];
		if (pathname === "/health/live") return ["/health/live", live()];
		if (pathname === "/health/ready") return ["/health/ready", await readiness(() => options.ready(), stopping)];
		if (pathname.startsWith(`${graphiqlPath}/`))
			return ["/graphiql", await graphiql.part(request, pathname.slice(graphiqlPath.length + 1))];
		const extra = await options.extraRoutes?.(request, pathname);
		if (extra !== undefined)
			return [pathname === "/install.sh" ? "/install.sh" : pathname.startsWith("/download/") ? "/download" : "other", extra];
		return ["other", problem(404, "NOT_FOUND", `There is nothing at ${pathname.slice(0, 200)}: GraphQL is at /graphql`)];
	}

	return {
		/** Answers one request. Throws only for faults of this program itself. */
		async fetch(request: Request, info: RequestInfo): Promise<Response> {
			const requestId = newRequestId();
			const { pathname } = new URL(request.url);
			const [name, response] = await route(request, pathname, info, requestId);
			options.metricsHook?.(name, response.status);
			log.debug("http.answered", { requestId, method: request.method, path: pathname, status: response.status });
			return harden(response, requestId);
		},
		/** Ends all event streams, and those still to come; readiness turns 503. Call it before stopping the listener. */
		endStreams(): void {
			stopping = true;
			for (const stream of streams) stream.end(stoppingEvents);
		},
		yoga,
		mask,
		newRequestId,
		sourceOf,
		createContext: (scope: OperationScope<Principal>) => options.createContext(scope),
		log,
	};
}

function isJson(request: Request): boolean {
	const type = (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
	return type === "application/json";
}

function openYoga<Principal, Context extends object>(
	options: AppOptions<Principal, Context>,
	mask: ErrorMask,
	newRequestId: () => string,
	singles: WeakSet<HttpReply>,
) {
	async function context(scope: OperationScope<Principal>): Promise<object> {
		// A socket's operations come with their context already made.
		if (scope.socket !== undefined) return {};
		try {
			return await options.createContext(scope);
		} catch (error) {
			throw mask(error, scope.requestId);
		}
	}
	const noteRootFields = watchRootFields(({ http }, single) => {
		if (single) singles.add(http);
	});
	const plugins: object[] = [
		...documentRules(documentLimits, options.config.introspection),
		liveSubscriptions(),
		noteRootFields,
		maskResults(mask),
	];
	return createYoga<OperationScope<Principal>, object>({
		schema: options.schema,
		context,
		plugins: plugins satisfies (Plugin | object)[],
		// The last net; what has a scope was masked under its request id before.
		maskedErrors: { errorMessage: "Unexpected error", maskError: (error) => mask(error, newRequestId()) },
		logging: false,
		cors: false,
		graphiql: false,
		landingPage: false,
		multipart: false,
		batching: false,
		// The listener bounds bodies; Yoga's own way costs a third of the throughput (RUNTIME.md, 12).
		maxRequestBodySize: false,
		parserAndValidationCache: { documentCache: boundedMap(documentsKept), errorCache: boundedMap(documentsKept), validationCache: true },
	});
}
