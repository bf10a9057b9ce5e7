import * as v from "valibot";
import type { WorkerPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { parseInput } from "../input.ts";
import { commandErrors, type CommandState, resultBytesMax } from "../protocol/commands.ts";
import type { CommandEnd, CommandRecord } from "./command.ts";
import { lockWithHost } from "./commands.ts";
import { changed, recordEnd } from "./ends.ts";
import { transition } from "./lifecycle.ts";
import { saveState } from "./store.ts";

const schema = v.object({
	commandId: v.string(),
	state: v.picklist(["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]),
	result: v.optional(
		v.pipe(
			v.unknown(),
			v.check(
				(value) => value === undefined || Buffer.byteLength(JSON.stringify(value)) <= resultBytesMax,
				`has more than ${resultBytesMax} bytes as JSON, the most that is kept: report FAILED instead`,
			),
		),
	),
	error: v.optional(v.nullable(v.object({ code: v.picklist(commandErrors), message: v.string() })), null),
});

/**
 * Takes a worker's word on a command of its own: that it began, or how it ended. The first end that is reported stands, and whoever comes later is
 * told the state that does. Safe to repeat. NOT_FOUND for a command that is not this worker's.
 */
export async function reportCommand(deps: Deps, worker: WorkerPrincipal, raw: unknown): Promise<CommandState> {
	const report = parseInput("take the report", schema, raw);
	const { tenantId, workerId } = worker;
	return deps.db.tx(async (tx) => {
		const command = await lockWithHost(tx, tenantId, report.commandId);
		if (command === undefined || command.workerId !== workerId) throw notFound("command", report.commandId);
		if (report.state === "RUNNING") {
			const state = transition(command.state, "start");
			if (state === undefined) return command.state;
			const begun = { ...command, state, startedAt: deps.clock.now() };
			await saveState(tx, begun);
			await append(tx, [changed(begun)]);
			return state;
		}
		const end = endAtDeadline(command, report.state, deps.clock.now()) ?? endOf(report);
		return (await recordEnd(tx, deps, command, end, `worker:${workerId}`)).command.state;
	});
}

/** What streams is ended by its worker at its deadline, which says no more than that it ended it; that nobody had asked for that tells why (H13). Pure. */
function endAtDeadline({ cancelRequestedAt, deadlineAt }: CommandRecord, state: CommandState, now: number): CommandEnd | undefined {
	if (state !== "CANCELLED" || cancelRequestedAt !== null || now < deadlineAt) return undefined;
	return { state: "EXPIRED", message: "Its time was over before it ended: the worker ended it" };
}

function endOf({ state, result, error }: v.InferOutput<typeof schema>): CommandEnd {
	switch (state) {
		case "SUCCEEDED":
			return { state, result };
		case "CANCELLED":
			return { state, message: error?.message ?? null, result };
		default:
			return { state: "FAILED", code: error?.code ?? "internal", message: error?.message ?? "The worker gave no reason", result };
	}
}
