/** A reason the worker cannot go on: one line for the user, and the exit code (src/protocol/codes.ts) that goes with it. */
export class Fatal extends Error {
	override readonly name = "Fatal";
	readonly exitCode: number;

	constructor(exitCode: number, message: string, options?: ErrorOptions) {
		super(message, options);
		this.exitCode = exitCode;
	}
}

/** The system's error code (`EACCES`, `ENOENT` …), or undefined for anything else that was thrown. */
export function errnoOf(error: unknown): string | undefined {
	return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** One line about anything that was thrown, without its stack. */
export function reasonOf(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error);
	return (text === "" ? "no reason given" : text).replace(/\s*\n\s*/g, " ");
}
