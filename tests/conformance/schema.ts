import { GraphQLError, GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { MusterError } from "../../src/errors.ts";
import type { LeaveSignal } from "../../src/lib/leaving.ts";
import type { OperationScope } from "../../src/http/scope.ts";

/** Who the test server takes a client for. */
export interface TestPrincipal {
	readonly name: string;
}

/** What its resolvers get besides the scope. */
export interface TestContext {
	readonly madeFor: string;
}

type Context = OperationScope<TestPrincipal> & TestContext;

/** Generators that have started and not ended, to see that a stream which nobody reads is not left running. */
let openSources = 0;

/** HTTP requests whose head the program has got. */
let begunRequests = 0;
export function requestBegan(): void {
	begunRequests++;
}

async function* counted<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
	openSources++;
	try {
		yield* source;
	} finally {
		openSources--;
	}
}

async function* count(to: number): AsyncGenerator<number> {
	for (let index = 0; index < to; index++) yield index;
}

/** As fast as it is asked, each event its number and a filler. */
async function* firehose(bytes: number): AsyncGenerator<string> {
	const filler = "x".repeat(bytes);
	for (let index = 0; ; index++) {
		// Let other sockets in: a source that never waits would hold the event loop.
		if (index % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
		yield `${index}:${filler}`;
	}
}

/** One event, then nothing until the reader leaves. */
async function* quiet(signal: LeaveSignal): AsyncGenerator<string> {
	yield "ready";
	await aborted(signal);
}

async function aborted(signal: LeaveSignal): Promise<void> {
	if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

async function* failing(): AsyncGenerator<string> {
	yield "ready";
	throw new Error("the raw text of a fault");
}

async function* overflowing(context: Context): AsyncGenerator<string> {
	yield "ready";
	context.fellBehind();
	await aborted(context.signal);
}

const text = new GraphQLNonNull(GraphQLString);
const number = new GraphQLNonNull(GraphQLInt);
const live = { resolve: (event: unknown) => event };

/** A schema of graphql-js alone: what is tested here is the transport. */
export const schema = new GraphQLSchema({
	query: new GraphQLObjectType<unknown, Context>({
		name: "Query",
		fields: {
			hello: { type: text, resolve: () => "world" },
			whoAmI: {
				type: text,
				resolve: (_root, _args, context) => `${context.principal?.name ?? "nobody"} from ${context.sourceAddress} ${context.madeFor}`,
			},
			requestId: { type: text, resolve: (_root, _args, context) => context.requestId },
			path: { type: text, resolve: (_root, _args, context) => new URL(context.request.url).pathname },
			openSources: { type: number, resolve: () => openSources },
			begunRequests: { type: number, resolve: () => begunRequests },
			fault: {
				type: GraphQLString,
				resolve: () => {
					throw new Error("the raw text of a fault");
				},
			},
			refused: {
				type: GraphQLString,
				resolve: () => {
					throw new MusterError("CONFLICT", 'Cannot take the name "a": choose another', { fields: ["name"] });
				},
			},
			readable: {
				type: GraphQLString,
				resolve: () => {
					throw new GraphQLError("said by the schema", { extensions: { http: { status: 400 } } });
				},
			},
			never: { type: GraphQLString, resolve: () => new Promise<string>(() => {}) },
			tooMany: {
				type: GraphQLString,
				resolve: (_root, _args, { http }) => {
					http.status = 429;
					http.headers["retry-after"] = "7";
					return "later";
				},
			},
		},
	}),
	mutation: new GraphQLObjectType<unknown, Context>({
		name: "Mutation",
		fields: { echo: { type: text, args: { text: { type: text } }, resolve: (_root, args: { text: string }) => args.text } },
	}),
	subscription: new GraphQLObjectType<unknown, Context>({
		name: "Subscription",
		fields: {
			counter: {
				...live,
				type: number,
				args: { to: { type: number } },
				subscribe: (_root, args: { to: number }) => counted(count(args.to)),
			},
			firehose: {
				...live,
				type: text,
				args: { bytes: { type: number } },
				subscribe: (_root, args: { bytes: number }) => counted(firehose(args.bytes)),
			},
			quiet: { ...live, type: text, subscribe: (_root, _args, context) => counted(quiet(context.signal)) },
			failing: { ...live, type: text, subscribe: () => counted(failing()) },
			overflowing: { ...live, type: text, subscribe: (_root, _args, context) => counted(overflowing(context)) },
		},
	}),
});
