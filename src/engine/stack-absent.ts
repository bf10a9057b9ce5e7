import { EngineError } from "./error.ts";

/** For `catch`: what is not there, is undefined; every other error goes on. */
export function absent(error: unknown): undefined {
	if (error instanceof EngineError && error.code === "not_found") return undefined;
	throw error;
}
