import { type GraphQLSchema, parse } from "graphql";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Route } from "../metrics/registry.ts";
import type { RequestInfo } from "../runtime/port.ts";
import { parseCidrs, sourceAddress } from "../lib/address.ts";
import { createEndpoint } from "./endpoint.ts";
import { isEnrollOnly, wrongListener } from "./enroll-only.ts";
import { createGraphiQL, graphiqlPath } from "./graphiql.ts";
import { welcomeQuery } from "./graphiql-client.ts";
import { type HealthCheck, live, readiness } from "./health.ts";
import { knownDocuments } from "./known.ts";
import { createMask } from "./mask.ts";
import { harden, problem } from "./respond.ts";
import type { OperationScope } from "./scope.ts";

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
	/** Documents that are recognised by their exact text and run without the general pipeline. */
	readonly known?: readonly string[];
	/** Subscriptions that are recognised so on sockets: thousands of workers hold one each, and the general pipeline keeps 4 KiB more for it. */
	readonly knownSubscriptions?: readonly string[];
	/** What GraphiQL shows first. */
	readonly graphiqlQuery?: string;
	/** What `fetchEnrollOnly` says to everything that it does not answer: where to go instead. */
	readonly enrollOnly?: string;
	/** A reader of an event stream that takes nothing for this long is cut. Default 30,000. */
	readonly streamStallMs?: number;
}

/** The HTTP side of the program: GraphQL, GraphiQL, health. */
export type App<Principal, Context extends object> = ReturnType<typeof createApp<Principal, Context>>;

/** Makes it. Starts nothing and holds no timer until a request comes. */
export function createApp<Principal, Context extends object>(options: AppOptions<Principal, Context>) {
	const { schema, log, random } = options;
	const trusted = parseCidrs(options.config.trustedProxies);
	const mask = createMask(log);
	const newRequestId = () => Buffer.from(random.bytes(9)).toString("base64url");
	const createContext = (scope: OperationScope<Principal>) => options.createContext(scope);
	const { introspection } = options.config;
	const streamStallMs = options.streamStallMs ?? 30_000;
	const known = knownDocuments(schema, options.known ?? []);
	const knownSubscriptions = knownDocuments(schema, options.knownSubscriptions ?? []);
	const common = { schema, createContext, introspection, mask, newRequestId, streamStallMs };
	const endpoint = createEndpoint<Principal>({ ...common, known });
	// An engine of its own: what it refuses must not be remembered as refused for the other listener, and what is known there is not known here.
	const narrow = options.enrollOnly === undefined ? undefined : openNarrow(options.enrollOnly);

	function openNarrow(message: string) {
		const enrolling = (options.known ?? []).filter((text) => isEnrollOnly(parse(text)));
		return {
			message,
			endpoint: createEndpoint<Principal>({ ...common, known: knownDocuments(schema, enrolling), enrollOnly: message }),
		};
	}
	const graphiql = createGraphiQL({ title: "Muster", defaultQuery: options.graphiqlQuery ?? welcomeQuery });
	let stopping = false;

	const sourceOf = (request: Request, peerAddress: string) => sourceAddress(peerAddress, request.headers.get("x-forwarded-for"), trusted);

	async function answer(
		request: Request,
		{ peerAddress }: RequestInfo,
		requestId: string,
		route: Route,
		pathname: string,
		door: typeof narrow,
	): Promise<Response> {
		if (door !== undefined && (route === "/" || route === "/assets")) return wrongListener(door.message);
		switch (route) {
			case "/graphql":
				if (door !== undefined) {
					if (request.method !== "POST") return wrongListener(door.message);
					return door.endpoint.handle(request, sourceOf(request, peerAddress), requestId);
				}
				if (wantsPage(request)) return graphiql.page();
				return endpoint.handle(request, sourceOf(request, peerAddress), requestId);
			case "/graphiql":
				if (door !== undefined) return wrongListener(door.message);
				return graphiql.part(request, pathname.slice(graphiqlPath.length + 1));
			case "/health/live":
				return live();
			case "/health/ready":
				return readiness(() => options.ready(), stopping);
			default: {
				const extra = await options.extraRoutes?.(request, pathname);
				return extra ?? problem(404, "NOT_FOUND", `There is nothing at ${pathname.slice(0, 200)}: GraphQL is at /graphql`);
			}
		}
	}

	async function respond(request: Request, info: RequestInfo, door: typeof narrow): Promise<Response> {
		const requestId = newRequestId();
		const { pathname } = new URL(request.url);
		const route = routeOf(pathname);
		const response = await answer(request, info, requestId, route, pathname, door);
		options.metricsHook?.(route, response.status);
		log.debug("http.answered", { requestId, method: request.method, path: pathname, status: response.status });
		return harden(response, requestId);
	}

	return {
		/** Answers one request. Throws only for faults of this program itself. */
		fetch: (request: Request, info: RequestInfo) => respond(request, info, undefined),
		/** The same for a listener that new machines reach: enroll, health, the install script and downloads, nothing else (H5). */
		fetchEnrollOnly: (request: Request, info: RequestInfo) => respond(request, info, narrow),
		/** Ends all event streams, and those still to come; readiness turns 503. Call it before stopping the listener. */
		endStreams(): void {
			stopping = true;
			endpoint.endStreams();
			narrow?.endpoint.endStreams();
		},
		yoga: endpoint.yoga,
		known,
		knownSubscriptions,
		mask,
		newRequestId,
		sourceOf,
		createContext,
		log,
	};
}

function routeOf(pathname: string): Route {
	if (pathname === "/graphql" || pathname === "/graphql/") return "/graphql";
	if (pathname.startsWith(`${graphiqlPath}/`)) return "/graphiql";
	if (pathname.startsWith("/download/")) return "/download";
	if (pathname.startsWith("/assets/")) return "/assets";
	if (pathname === "/") return "/";
	return pathname === "/health/live" || pathname === "/health/ready" || pathname === "/install.sh" ? pathname : "other";
}

function wantsPage(request: Request): boolean {
	return request.method === "GET" && request.headers.get("accept")?.includes("text/html") === true;
}
