/** Makes an operation that came on a socket ready to run. */
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from "graphql";
import type { OperationResult } from "graphql-ws";
import { MusterError } from "../errors.ts";
import type { App } from "./app.ts";
import type { KnownRequest } from "./known.ts";
import { subscribeLive } from "./live.ts";
import { maskResult } from "./plugins.ts";
import type { OperationScope } from "./scope.ts";

/** What runs an operation: the engine that parsed it, so that every plugin sees the whole of it. */
export type Engine = {
	readonly execute: (args: ExecutionArgs) => OperationResult;
	readonly subscribe: (args: ExecutionArgs) => OperationResult;
};

/** An operation that may run, and what runs it. */
export type Prepared = { readonly errors: readonly GraphQLError[] } | { readonly args: ExecutionArgs; readonly engine: Engine };

/**
 * Parses and checks one operation of a socket through Yoga's engine, unless it is known. `tooMany`: so many run on its socket, which is too
 * many. What a plugin throws on the way is the operation's error, not the socket's end.
 */
export async function prepare<Principal, Context extends object>(
	app: App<Principal, Context>,
	context: (OperationScope<Principal> & Context) | undefined,
	params: {
		readonly query: string;
		readonly operationName?: string | null | undefined;
		readonly variables?: Record<string, unknown> | null | undefined;
	},
	tooMany: number | undefined,
): Promise<Prepared> {
	const requestId = app.newRequestId();
	try {
		if (context === undefined) throw new Error("An operation came on a socket that was not let in");
		if (tooMany !== undefined) {
			throw new MusterError(
				"SERVICE_UNAVAILABLE",
				`This socket runs ${tooMany} operations, the most it may: complete one, or open another socket`,
			);
		}
		const known = app.known.inPayload(params);
		if (known !== undefined) return knownOperation(app, known, { ...context, requestId, http: { headers: {} } });
		const subscription = app.knownSubscriptions.inPayload(params);
		if (subscription !== undefined) return knownSubscription(app, subscription, { ...context, requestId, http: { headers: {} } });
		// Without the upgrade request while it parses: Yoga takes a context with a request for plain HTTP, and refuses mutations on a GET.
		const { request, ...scope } = context;
		const engine = app.yoga.getEnveloped({ ...scope, requestId, http: { headers: {} }, params });
		const document = engine.parse(params.query);
		const errors = engine.validate(engine.schema, document);
		if (errors.length > 0) return { errors: errors.map(bare) };
		const args: ExecutionArgs = {
			schema: engine.schema,
			document,
			operationName: params.operationName ?? null,
			variableValues: params.variables ?? null,
			contextValue: await engine.contextFactory({ request }),
		};
		return { args, engine };
	} catch (error) {
		return { errors: [bare(app.mask(error, requestId))] };
	}
}

/** A known operation: parsed and validated when the server started. What it refuses before a resolver ran is the same refusal everywhere. */
function knownOperation<Principal, Context extends object>(
	app: App<Principal, Context>,
	known: KnownRequest,
	contextValue: OperationScope<Principal> & Context,
): Prepared {
	const execute = async (args: ExecutionArgs) => maskResult(app.mask, await app.known.execute(args), contextValue.requestId);
	return { args: app.known.argsOf(known, contextValue), engine: { execute, subscribe: execute } };
}

/** A known subscription: as a known operation, each of its results masked. */
function knownSubscription<Principal, Context extends object>(
	app: App<Principal, Context>,
	known: KnownRequest,
	contextValue: OperationScope<Principal> & Context,
): Prepared {
	const finish = (result: ExecutionResult) => maskResult(app.mask, result, contextValue.requestId);
	const subscribe = (args: ExecutionArgs) => subscribeLive(args, finish);
	return { args: app.knownSubscriptions.argsOf(known, contextValue), engine: { execute: subscribe, subscribe } };
}

/** Without what Yoga notes for its HTTP replies. */
export function bare(error: GraphQLError): GraphQLError {
	if (error.extensions.http === undefined) return error;
	const { http: _http, ...extensions } = error.extensions;
	return new GraphQLError(error.message, { nodes: error.nodes ?? null, path: error.path ?? null, extensions });
}
