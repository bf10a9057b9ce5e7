import { attachExec, createExec, inspectExec, startExec } from "../src/engine/exec.ts";
import { readOutput } from "../src/engine/frames.ts";
import { containerLogs } from "../src/engine/logs.ts";
import type { EngineDuplex } from "../src/engine/transport.ts";
import type { CommandInput } from "./commands-input.ts";
import type { Doer, EngineContext } from "./commands-kind.ts";

/** An exec's exit code is known a moment after its output has ended. */
const exitWait = { everyMs: 50, times: 200 };

/** Sends a container's log. */
export const doLogs: Doer<"container.logs"> = async ({ engine, output, target, signal }, range) => {
	for await (const piece of containerLogs(engine, target, range, { signal })) await output.write(piece);
	signal.throwIfAborted();
	return {};
};

/**
 * Runs a command in a container. Its end comes with its exit code. Cancelled, its connection is cut: stdin and a terminal end with that, and
 * most programs by it; Docker has no way to end one that goes on regardless.
 */
export const doExec: Doer<"container.exec"> = async (context, params) => {
	const { engine, output, target, signal, input } = context;
	const execId = await createExec(engine, target, params, { signal });
	if (params.stdin) {
		const duplex = await attachExec(engine, execId, params.tty, { signal });
		try {
			void feed(duplex, input);
			for await (const piece of readOutput(duplex.output, params.tty)) await output.write(piece);
		} finally {
			duplex.destroy();
		}
	} else {
		for await (const piece of startExec(engine, execId, params.tty, { signal })) await output.write(piece);
	}
	signal.throwIfAborted();
	return { exitCode: await exitCode(context, execId) };
};

/** A program that ends before its input does closes the way: that is not an error. */
async function feed(duplex: EngineDuplex, input: CommandInput): Promise<void> {
	try {
		for await (const data of input) await duplex.write(data);
		duplex.end();
	} catch {
		duplex.end();
	}
}

async function exitCode({ engine, timers, signal }: EngineContext, execId: string): Promise<number | null> {
	for (let asked = 0; asked < exitWait.times; asked++) {
		const { Running, ExitCode } = await inspectExec(engine, execId, { signal });
		if (!Running) return ExitCode;
		await new Promise<void>((resolve) => void timers.after(exitWait.everyMs, resolve));
	}
	return null;
}
