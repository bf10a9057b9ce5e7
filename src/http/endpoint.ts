/** GraphQL over HTTP: one operation a request, event streams, and the pipeline that sockets share. */
import type { GraphQLSchema } from "graphql";
import { createYoga, processRegularResult } from "graphql-yoga";
import { boundedMap } from "../lib/bounded-map.ts";
import { neverLeaves } from "../lib/leaving.ts";
import { type EventStream, watchEventStream } from "./event-stream.ts";
import { enrollOnly } from "./enroll-only.ts";
import type { KnownDocuments } from "./known.ts";
import { liveSubscriptions } from "./live.ts";
import type { ErrorMask } from "./mask.ts";
import { documentLimits, documentRules, maskResult, maskResults, watchRootFields } from "./plugins.ts";
import { hardHeaders, problem, restated } from "./respond.ts";
import type { HttpReply, OperationScope } from "./scope.ts";

export interface EndpointOptions<Principal> {
	readonly schema: GraphQLSchema;
	createContext(scope: OperationScope<Principal>): object | Promise<object>;
	readonly introspection: boolean;
	readonly mask: ErrorMask;
	newRequestId(): string;
	readonly streamStallMs: number;
	/** Operations that need no general pipeline. */
	readonly known: KnownDocuments;
	/** Takes the enroll mutation only, and refuses everything else with this message. Default: takes all. */
	readonly enrollOnly?: string;
}

/**
 * What clients accept that use known documents, and the type of the reply. Whoever asks in other words is answered by the general pipeline,
 * which knows them all.
 */
const replyTypes: ReadonlyMap<string, string> = new Map([
	["*/*", "application/json"],
	["application/json", "application/json"],
	["application/graphql-response+json", "application/graphql-response+json"],
	["application/graphql-response+json, application/json", "application/graphql-response+json"],
]);

/** The words of GraphQL over SSE. The blank lines end an event that may be half written. */
const stoppingEvents = "\n\nevent: complete\ndata:\n\n";
const fellBehindError = { message: "The subscriber fell behind: reconnect and read the state anew", extensions: { code: "FELL_BEHIND" } };
const fellBehindEvents = `\n\nevent: next\ndata: ${JSON.stringify({ errors: [fellBehindError] })}${stoppingEvents}`;
/** Parsed documents kept: at 64 KiB each at most 16 MiB, and a fleet uses a dozen. */
const documentsKept = 256;

/** Makes the endpoint. The scope of a request is the resolver's context together with what `createContext` gives. */
export function createEndpoint<Principal>(options: EndpointOptions<Principal>) {
	// Yoga copies the scope it is given; the reply object is the part that stays the same.
	const singles = new WeakSet<HttpReply>();
	const yoga = openYoga(options, singles);
	const streams = new Set<EventStream>();
	let stopping = false;

	function watch(response: Response, opened: (stream: EventStream) => void): Response {
		if (response.body === null) return response;
		const stream = watchEventStream(response.body, options.streamStallMs, () => streams.delete(stream));
		streams.add(stream);
		opened(stream);
		if (stopping) stream.end(stoppingEvents);
		return new Response(stream.body, { status: response.status, headers: response.headers });
	}

	const contextOf = async (scope: OperationScope<Principal>) => options.createContext(scope);

	/** The reply of a known operation; undefined: the general pipeline is to answer. */
	async function quick(text: string, scope: OperationScope<Principal>): Promise<Response | undefined> {
		const { request, http } = scope;
		const replyType = replyTypes.get(request.headers.get("accept") ?? "*/*");
		const known = replyType === undefined ? undefined : options.known.inBody(text);
		if (replyType === undefined || known === undefined) return undefined;
		const context = await contextOf(scope).catch(() => undefined);
		if (context === undefined) return undefined;
		const result = await options.known.execute(options.known.argsOf(known, { ...scope, ...context }));
		// Refused before any resolver ran, so nothing happens twice when the general pipeline says so in its own words.
		if (result.data === undefined) return undefined;
		if (result.errors === undefined) {
			const headers = hardHeaders(scope.requestId);
			headers["content-type"] = `${replyType}; charset=utf-8`;
			headers["cache-control"] = "no-store";
			for (const name in http.headers) headers[name] = http.headers[name] ?? "";
			return new Response(JSON.stringify(result), { status: http.status ?? 200, headers });
		}
		const response = processRegularResult(maskResult(options.mask, result, scope.requestId), yoga.fetchAPI, replyType);
		response.headers.set("cache-control", "no-store");
		return restated(response, http.status ?? response.status, http.headers);
	}

	return {
		/** Runs one operation. */
		async handle(request: Request, sourceAddress: string, requestId: string): Promise<Response> {
			// What an HTML form can send without a preflight is refused before it is read, so no page elsewhere can post for its reader.
			if (request.method === "POST" && !isJson(request)) {
				return problem(415, "UNSUPPORTED_MEDIA_TYPE", "POST needs content-type: application/json");
			}
			let stream: EventStream | undefined;
			let hasFallenBehind = false;
			const http: HttpReply = { headers: {} };
			const scope: OperationScope<Principal> = {
				request,
				requestId,
				sourceAddress,
				principal: undefined,
				socket: undefined,
				http,
				signal: neverLeaves,
				fellBehind() {
					hasFallenBehind = true;
					stream?.end(fellBehindEvents);
				},
			};
			const text = hasKnownForm(request) ? await request.text() : undefined;
			const answered = text === undefined ? undefined : await quick(text, scope);
			if (answered !== undefined) return answered;
			const whole = text === undefined ? request : unread(request, text);
			const response = await yoga.fetch(whole, { ...scope, request: whole });
			if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
				return watch(response, (opened) => {
					stream = opened;
					if (hasFallenBehind) opened.end(fellBehindEvents);
				});
			}
			response.headers.set("cache-control", "no-store");
			return singles.has(http) ? restated(response, http.status ?? response.status, http.headers) : response;
		},
		/** Ends all event streams, and those still to come. */
		endStreams(): void {
			stopping = true;
			for (const stream of streams) stream.end(stoppingEvents);
		},
		yoga,
	};
}

function isJson(request: Request): boolean {
	const type = (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
	return type === "application/json";
}

/** Whether a known operation may be in the request's body. */
function hasKnownForm(request: Request): boolean {
	return request.method === "POST" && request.body !== null && !request.url.includes("?");
}

/** The request as it was before its text was read. */
function unread({ url, method, headers, signal }: Request, text: string): Request {
	return new Request(url, { method, headers, body: text, signal });
}

function openYoga<Principal>(options: EndpointOptions<Principal>, singles: WeakSet<HttpReply>) {
	const { mask } = options;
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
	return createYoga<OperationScope<Principal>, object>({
		schema: options.schema,
		context,
		plugins: [
			...(options.enrollOnly === undefined ? [] : [enrollOnly(options.enrollOnly, (http) => singles.add(http))]),
			...documentRules(documentLimits, options.introspection),
			liveSubscriptions(),
			noteRootFields,
			maskResults(mask),
		],
		// The last net; what has a scope was masked under its request id before.
		maskedErrors: { errorMessage: "Unexpected error", maskError: (error) => mask(error, options.newRequestId()) },
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
