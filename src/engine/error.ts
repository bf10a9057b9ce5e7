import * as v from "valibot";
import type { CommandErrorCode } from "../protocol/commands.ts";

/** Why the engine did not do what it was asked; part of the errors a command can end with. */
export type EngineErrorCode = Extract<CommandErrorCode, "bad_request" | "not_found" | "conflict" | "docker_error" | "docker_unavailable">;

/** The engine's refusal, in Docker's own words, or the reason that it cannot be asked. */
export class EngineError extends Error {
	override readonly name = "EngineError";
	readonly code: EngineErrorCode;
	/** The HTTP status, when Docker answered. */
	readonly status: number | undefined;

	constructor(code: EngineErrorCode, message: string, options?: ErrorOptions & { readonly status?: number }) {
		super(message, options);
		this.code = code;
		this.status = options?.status;
	}
}

const errorBody = v.object({ message: v.pipe(v.string(), v.nonEmpty()) });
const messageCharactersMax = 2_000;

/** Docker's refusal as an error: 404 `not_found`, 409 `conflict`, 502 to 504 (a proxy before it) `docker_unavailable`, others `docker_error`. */
export function errorOf(status: number, text: string): EngineError {
	const message = messageOf(text) ?? (text.trim() === "" ? `HTTP ${status} without a reason` : text.trim());
	return new EngineError(codeOf(status), message.slice(0, messageCharactersMax), { status });
}

function codeOf(status: number): EngineErrorCode {
	if (status === 404) return "not_found";
	if (status === 409) return "conflict";
	return status >= 502 && status <= 504 ? "docker_unavailable" : "docker_error";
}

function messageOf(text: string): string | undefined {
	try {
		const parsed = v.safeParse(errorBody, JSON.parse(text));
		return parsed.success ? parsed.output.message : undefined;
	} catch {
		return undefined;
	}
}
