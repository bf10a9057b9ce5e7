import { runStackCommand, type StackCommand } from "../src/engine/stack-command.ts";
import type { EngineContext } from "./commands-kind.ts";

/** Brings the host's containers to what a stack says; may be done again from any point. Its output has a line for each thing that is done. */
export async function doStack({ engine, output, signal }: EngineContext, command: StackCommand): Promise<unknown> {
	let said: Promise<void> = Promise.resolve();
	const say = (line: string) => {
		said = said.then(() => output.write({ stream: "STDOUT", data: Buffer.from(`${line}\n`) }));
		// Whoever waits for it below is told.
		said.catch(() => {});
	};
	const result = await runStackCommand(engine, command, { signal, say });
	await said;
	return result;
}
