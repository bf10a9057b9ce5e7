import { ordersOf } from "../commands/hand-out.ts";
import { reportCommand } from "../commands/report.ts";
import type { CommandFrame, CommandState } from "../protocol/commands.ts";
import { builder } from "./builder.ts";
import { CommandErrorEnum, CommandStateEnum } from "./enums.ts";

const FrameType = builder.objectRef<CommandFrame>("CommandFrame").implement({
	description: "What a worker is told. ORDER: do this; CANCEL: end it; INPUT: bytes for its stdin.",
	fields: (t) => ({
		type: t.field({
			type: builder.enumType("CommandFrameType", { values: ["ORDER", "CANCEL", "INPUT"] as const }),
			resolve: (frame) => frame.type,
		}),
		commandId: t.exposeID("commandId"),
		kind: t.exposeString("kind", { nullable: true }),
		params: t.field({ type: "JSON", nullable: true, resolve: (frame) => frame.params }),
		deadline: t.field({
			type: "DateTime",
			nullable: true,
			description: "Past it the worker does not begin, and ends what streams.",
			resolve: (frame) => (frame.deadline === null ? null : Date.parse(frame.deadline)),
		}),
		data: t.exposeString("data", { nullable: true, description: "Base64." }),
		end: t.exposeBoolean("end", { nullable: true, description: "Nothing comes after this input." }),
	}),
});

builder.subscriptionField("commands", (t) =>
	t.field({
		type: FrameType,
		extensions: { paced: true },
		description: "A worker's orders: all that have not ended, then new ones. One subscription a worker, a second takes over. For workers.",
		subscribe: (_, __, ctx) => ordersOf(ctx.deps, ctx.commands, ctx.asWorker(), ctx.signal),
		resolve: (frame) => frame,
	}),
);

const CommandErrorInput = builder.inputType("CommandErrorInput", {
	fields: (t) => ({ code: t.field({ type: CommandErrorEnum, required: true }), message: t.string({ required: true }) }),
});
const ReportCommandInput = builder.inputType("ReportCommandInput", {
	fields: (t) => ({
		commandId: t.id({ required: true }),
		state: t.field({ type: CommandStateEnum, required: true, description: "RUNNING, SUCCEEDED, FAILED or CANCELLED." }),
		result: t.field({ type: "JSON" }),
		error: t.field({ type: CommandErrorInput, description: "Of a FAILED one." }),
	}),
});
const ReportCommandPayload = builder.objectRef<{ state: CommandState }>("ReportCommandPayload").implement({
	fields: (t) => ({
		state: t.expose("state", { type: CommandStateEnum, description: "What stands now: the first end that was reported." }),
	}),
});

builder.mutationField("reportCommand", (t) =>
	t.field({
		type: ReportCommandPayload,
		description: "A worker's word on a command of its own. Repeated until it is answered. For workers.",
		args: { input: t.arg({ type: ReportCommandInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ state: await reportCommand(ctx.deps, ctx.asWorker(), input) }),
	}),
);
