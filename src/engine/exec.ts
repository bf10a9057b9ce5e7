import * as v from "valibot";
import { containerPath } from "./containers.ts";
import { act, ask, type CallOptions, type Engine, post, stream, validate } from "./engine.ts";
import { type Output, readOutput } from "./frames.ts";
import type { EngineDuplex } from "./transport.ts";

/** A command to run in a container. */
export interface ExecSpec {
	readonly command: readonly string[];
	readonly env: readonly string[];
	readonly workingDir: string | null;
	readonly user: string | null;
	readonly tty: boolean;
	readonly stdin: boolean;
}

const createdSchema = v.object({ Id: v.string() });
const stateSchema = v.object({ Running: v.boolean(), ExitCode: v.nullable(v.number()), Pid: v.optional(v.number(), 0) });
/** How an exec stands. */
export type ExecState = v.InferOutput<typeof stateSchema>;

/** Prepares a command in a running container and returns the exec's id. Rejects with `not_found`, `conflict` when it does not run. */
export async function createExec(engine: Engine, container: string, spec: ExecSpec, options?: CallOptions): Promise<string> {
	const path = `${containerPath(container)}/exec`;
	const body = {
		AttachStdin: spec.stdin,
		AttachStdout: true,
		AttachStderr: true,
		Tty: spec.tty,
		Cmd: spec.command,
		Env: spec.env,
		...(spec.workingDir === null ? {} : { WorkingDir: spec.workingDir }),
		...(spec.user === null ? {} : { User: spec.user }),
	};
	return validate(createdSchema, (await act(engine, post(path, body, options))).text, path).Id;
}

/** Runs a prepared command without stdin; its output, read no faster than it is asked for. */
export async function* startExec(engine: Engine, execId: string, tty: boolean, options?: CallOptions): AsyncGenerator<Output> {
	const { body } = await stream(engine, post(`/exec/${execId}/start`, { Detach: false, Tty: tty }, options));
	yield* readOutput(body, tty);
}

/** Runs a prepared command with stdin: what is written goes there, `end` closes it. `readOutput` reads its `output`. */
export function attachExec(engine: Engine, execId: string, tty: boolean, options?: CallOptions): Promise<EngineDuplex> {
	return engine.hijack(post(`/exec/${execId}/start`, { Detach: false, Tty: tty }, options));
}

/** How a prepared command stands: `ExitCode` is null until it has ended. */
export function inspectExec(engine: Engine, execId: string, options?: CallOptions): Promise<ExecState> {
	return ask(engine, stateSchema, { path: `/exec/${execId}/json` }, options);
}

/** Sets the size of a running command's terminal. */
export async function resizeExec(
	engine: Engine,
	execId: string,
	size: { readonly columns: number; readonly rows: number },
	options?: CallOptions,
): Promise<void> {
	const query = { w: String(size.columns), h: String(size.rows) };
	await act(engine, { ...options, method: "POST", path: `/exec/${execId}/resize`, query });
}
