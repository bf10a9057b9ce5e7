import { GraphQLError } from "graphql";
import { errorCodes, MusterError } from "../errors.ts";
import type { Log } from "../lib/log.ts";

/** Turns any thrown value into what a client may see. Idempotent: its own results pass unchanged and are logged once. */
export type ErrorMask = (error: unknown, requestId: string) => GraphQLError;

/**
 * Makes the mask. A MusterError with an exposed code keeps its message and gets `extensions.code` (and `fields`); what GraphQL itself
 * says about a document or its variables stays readable; everything else becomes "Unexpected error" with the request id under which the
 * log has the whole of it.
 */
export function createMask(log: Log): ErrorMask {
	const masked = new WeakSet<GraphQLError>();
	return (error, requestId) => {
		if (error instanceof GraphQLError && masked.has(error)) return error;
		const shown = show(error, requestId, log);
		masked.add(shown);
		return shown;
	};
}

function show(error: unknown, requestId: string, log: Log): GraphQLError {
	const cause = rootCause(error);
	if (cause instanceof MusterError && errorCodes[cause.code].exposed) {
		log[errorCodes[cause.code].log]("request.refused", { requestId, code: cause.code, message: cause.message });
		const fields = cause.fields.length === 0 ? {} : { fields: cause.fields };
		return located(error, cause.message, { code: cause.code, ...fields });
	}
	if (error instanceof GraphQLError && cause instanceof GraphQLError) return error;
	log.error("request.failed", { requestId, error: cause });
	return located(error, "Unexpected error", { code: "INTERNAL_SERVER_ERROR", requestId });
}

/** What was thrown first; graphql-js wraps it, some plugins twice. */
function rootCause(error: unknown): unknown {
	let cause = error;
	while (cause instanceof GraphQLError && cause.originalError != null) cause = cause.originalError;
	return cause;
}

function located(error: unknown, message: string, extensions: Record<string, unknown>): GraphQLError {
	if (!(error instanceof GraphQLError)) return new GraphQLError(message, { extensions });
	return new GraphQLError(message, { nodes: error.nodes ?? null, path: error.path ?? null, extensions });
}
