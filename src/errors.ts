/** Errors that people see, as data: code → what it means to a client and to the log. */
export const errorCodes = {
	BAD_USER_INPUT: { log: "info", exposed: true },
	UNAUTHENTICATED: { log: "info", exposed: true },
	FORBIDDEN: { log: "info", exposed: true },
	NOT_FOUND: { log: "info", exposed: true },
	CONFLICT: { log: "info", exposed: true },
	SERVICE_UNAVAILABLE: { log: "warn", exposed: true },
	INTERNAL_SERVER_ERROR: { log: "error", exposed: false },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/**
 * A fault or a refusal with a code. The message of an exposed code reaches the client word for word:
 * it names the action, the value and the remedy, and holds no secret.
 */
export class MusterError extends Error {
	readonly code: ErrorCode;
	/** Input fields at fault, for clients that mark them. */
	readonly fields: readonly string[];
	constructor(code: ErrorCode, message: string, options: { readonly cause?: unknown; readonly fields?: readonly string[] } = {}) {
		super(message, options.cause === undefined ? {} : { cause: options.cause });
		this.name = "MusterError";
		this.code = code;
		this.fields = options.fields ?? [];
	}
}

/** The one text for what is missing and for what may not be seen (S10). */
export function notFound(what: string, id: string): MusterError {
	return new MusterError("NOT_FOUND", `There is no ${what} "${id}": check the id, or list what there is`);
}
