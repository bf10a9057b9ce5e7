import { containerPath, inspectContainer } from "./containers.ts";
import { type CallOptions, type Engine, stream } from "./engine.ts";
import { EngineError } from "./error.ts";
import { type Output, readOutput } from "./frames.ts";

/** Which part of a container's log. */
export interface LogRange {
	/** Go on with what comes, until the container ends. */
	readonly follow: boolean;
	/** The last so many lines; null: all. */
	readonly tail: number | null;
	/** RFC 3339; null: from the beginning. */
	readonly since: string | null;
	/** Whether each line begins with its time. */
	readonly timestamps: boolean;
}

/** A container's log, read no faster than it is asked for. Rejects with `not_found`, `bad_request` for a time that is none. */
export async function* containerLogs(
	engine: Engine,
	container: string,
	range: LogRange,
	options: CallOptions = {},
): AsyncGenerator<Output> {
	const since = range.since === null ? {} : { since: engineTime(range.since) };
	const { Id, Config } = await inspectContainer(engine, container, options);
	const query = {
		stdout: "true",
		stderr: "true",
		follow: String(range.follow),
		timestamps: String(range.timestamps),
		tail: range.tail === null ? "all" : String(range.tail),
		...since,
	};
	const { body } = await stream(engine, { ...options, method: "GET", path: `${containerPath(Id)}/logs`, query });
	yield* readOutput(body, Config.Tty);
}

/** A time as Docker's API takes it, seconds with nanoseconds, from RFC 3339. Throws `EngineError` `bad_request`. */
export function engineTime(rfc3339: string): string {
	const ms = Date.parse(rfc3339);
	if (Number.isNaN(ms))
		throw new EngineError("bad_request", `Cannot use the time ${JSON.stringify(rfc3339)}: give one like 2026-11-01T12:00:00Z`);
	const fraction = /\.(\d{1,9})/.exec(rfc3339)?.[1] ?? "";
	return `${Math.floor(ms / 1_000)}.${fraction.padEnd(9, "0")}`;
}
