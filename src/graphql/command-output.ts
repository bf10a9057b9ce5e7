import { sendInput } from "../commands/input.ts";
import { type CommandOutput, outputOf, takeOutput } from "../commands/output.ts";
import { builder } from "./builder.ts";
import { CommandPayload } from "./command.ts";

const StreamEnum = builder.enumType("OutputStream", { values: ["STDOUT", "STDERR"] as const });

const OutputType = builder.objectRef<CommandOutput>("CommandOutput").implement({
	description: "A piece of a command's output. Ask for `data`, `text` or both.",
	fields: (t) => ({
		sequence: t.exposeInt("sequence", {
			description: "Counts from 0. A step of more than one: what lies between was given up, see commandOutput.",
		}),
		stream: t.expose("stream", { type: StreamEnum }),
		data: t.string({ description: "The bytes, base64.", resolve: ({ data }) => Buffer.from(data).toString("base64") }),
		text: t.exposeString("text", {
			description: "The bytes read as UTF-8, across the pieces of a stream; what is none becomes U+FFFD.",
		}),
	}),
});

builder.subscriptionField("commandOutput", (t) =>
	t.field({
		type: OutputType,
		extensions: { paced: true },
		description:
			"A command's output to its one reader, also what came before it began to read; CONFLICT while there is another. Ends with the command, after the last piece. A reader sets the pace: the worker waits for a slow one, and nobody is closed for falling behind. 1 MiB waits for a reader; of a command that changes something and that nobody reads, the oldest is given up. Logs that are followed, and an exec with stdin, end when their reader leaves. Role: operator; of an exec and of changes: admin.",
		args: { commandId: t.arg.id({ required: true }) },
		subscribe: (_, { commandId }, ctx) => outputOf(ctx, commandId),
		resolve: (chunk) => chunk,
	}),
);

const CommandOutputInput = builder.inputType("CommandOutputInput", {
	fields: (t) => ({
		commandId: t.id({ required: true }),
		sequence: t.int({ required: true, description: "From 0; a piece sent again is stored once." }),
		stream: t.field({ type: StreamEnum, required: true }),
		data: t.string({ required: true, description: "Base64, at most 48 KiB before it." }),
	}),
});
const CommandOutputPayload = builder.objectRef<{ wanted: boolean }>("CommandOutputPayload").implement({
	fields: (t) => ({ wanted: t.exposeBoolean("wanted", { description: "False: the command has ended or is to end, send no more." }) }),
});

builder.mutationFields((t) => ({
	sendCommandOutput: t.field({
		type: CommandOutputPayload,
		description: "A piece of output; answered when there was room for it. SERVICE_UNAVAILABLE: none for 25 s, send it again. For workers.",
		args: { input: t.arg({ type: CommandOutputInput, required: true }) },
		resolve: (_, { input }, ctx) => takeOutput(ctx.deps, ctx.commands, ctx.asWorker(), input),
	}),
	sendCommandInput: t.field({
		type: CommandPayload,
		description:
			"Bytes for the stdin of an exec that was asked for with `stdin`, in the order in which requests are answered. At most 48 KiB at a time; CONFLICT when 1 MiB waits for the worker. Role: admin.",
		args: {
			commandId: t.arg.id({ required: true }),
			data: t.arg.string({ required: true, description: "Base64; may be empty with `end`." }),
			end: t.arg.boolean({ description: "Closes stdin after it." }),
		},
		resolve: async (_, args, ctx) => ({ command: await sendInput(ctx.deps, ctx.as("admin"), args) }),
	}),
}));
