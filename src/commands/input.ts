import * as v from "valibot";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { outputChunkBytesMax } from "../protocol/commands.ts";
import { base64Bytes } from "./base64.ts";
import type { CommandRecord } from "./command.ts";
import { lockWithHost } from "./commands.ts";
import { putInput } from "./hand-out-store.ts";
import { hint } from "./store.ts";

/** Input that waits for a worker: what nobody takes must not pile up. */
const waiting = { bytes: 1024 * 1024, pieces: 256 };
const schema = v.object({
	commandId: v.string(),
	data: base64Bytes(outputChunkBytesMax),
	end: v.optional(v.nullable(v.boolean()), false),
});

/**
 * Sends bytes to the stdin of a command that was asked for with `stdin`, in the order in which the requests are answered; `end` closes it. Reaches the worker
 * whichever server it is connected to. CONFLICT when the command takes no input, has ended, or 1 MiB waits already.
 */
export async function sendInput(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<CommandRecord> {
	const { commandId, data, end } = parseInput("send the input", schema, raw);
	const { tenantId } = operator;
	return deps.db.tx(async (tx) => {
		const command = await lockWithHost(tx, tenantId, commandId);
		if (command === undefined) throw notFound("command", commandId);
		const refuse = (why: string) => new MusterError("CONFLICT", `Cannot send input to command "${commandId}": ${why}`);
		if (command.kind !== "container.exec" || !command.follows) throw refuse("it takes none; ask for an exec with stdin");
		if (command.endedAt !== null) throw refuse(`it is ${command.state}`);
		const piece = { tenantId, commandId, data, isEnd: end === true };
		if (!(await putInput(tx, piece, waiting.bytes, waiting.pieces)))
			throw refuse(`${waiting.bytes} bytes or ${waiting.pieces} pieces wait for its worker already, send it again later`);
		await hint(tx, ["w", command.workerId]);
		return command;
	});
}
