import { includesRole } from "../auth/authorize.ts";
import type { CommandRecord } from "../commands/command.ts";
import { cancelAs } from "../commands/actions.ts";
import { type CommandFilter, commandsByIds, countCommands, pageOfCommands } from "../commands/store.ts";
import { eventSubscription } from "../events/subscribe.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { CommandErrorEnum, CommandStateEnum } from "./enums.ts";
import { connection, pageComplexity } from "./page.ts";
import { HostRef } from "./refs.ts";

export const CommandRef = builder.loadableNodeRef("Command", {
	id: { resolve: (command: CommandRecord) => command.id },
	load: async (ids: string[], ctx) => aligned(ids, await commandsByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), ({ id }) => id),
});

CommandRef.implement({
	description: "Something a worker was asked to do on its host. Kept for a week after its end.",
	fields: (t) => ({
		host: t.field({ type: HostRef, nullable: true, description: "Null when it was deleted.", resolve: (command) => command.hostId }),
		kind: t.exposeString("kind", { description: "`container.logs`, `container.start`, `image.pull` …" }),
		state: t.expose("state", { type: CommandStateEnum }),
		params: t.field({
			type: "JSON",
			description: "Values of environment variables and keys are masked.",
			resolve: (command) => command.params,
		}),
		requestedBy: t.exposeString("requestedBy"),
		requestedAt: t.expose("requestedAt", { type: "DateTime" }),
		deadlineAt: t.expose("deadlineAt", { type: "DateTime" }),
		startedAt: t.expose("startedAt", { type: "DateTime", nullable: true, description: "When the worker says it began." }),
		cancelRequestedAt: t.expose("cancelRequestedAt", { type: "DateTime", nullable: true }),
		endedAt: t.expose("endedAt", { type: "DateTime", nullable: true }),
		result: t.field({
			type: "JSON",
			nullable: true,
			description: "What it came to. Null to those below the role operator: a container's description holds its environment.",
			resolve: (command, _, ctx) => (includesRole(ctx.as("viewer").role, "operator") ? command.result : null),
		}),
		errorCode: t.expose("errorCode", { type: CommandErrorEnum, nullable: true }),
		errorMessage: t.exposeString("errorMessage", { nullable: true }),
	}),
});

builder.queryFields((t) => ({
	command: t.field({
		type: CommandRef,
		nullable: true,
		description: "Role: viewer.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => (await commandsByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, [id]))[0] ?? null,
	}),
	commands: t.connection(
		{
			type: CommandRef,
			description: "Newest first. Role: viewer.",
			complexity: pageComplexity,
			args: { hostId: t.arg.id(), state: t.arg({ type: CommandStateEnum }) },
			resolve: (_, args, ctx) => {
				const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
				const filter: CommandFilter = {
					...(args.hostId == null ? {} : { hostId: args.hostId }),
					...(args.state == null ? {} : { state: args.state }),
				};
				return connection(
					args,
					(command: CommandRecord) => command.id,
					(page) => pageOfCommands(sql, tenantId, filter, page),
					() => countCommands(sql, tenantId, filter),
				);
			},
		},
		{ name: "CommandConnection" },
		{ name: "CommandEdge" },
	),
}));

export const CommandPayload = builder.objectRef<{ command: CommandRecord }>("CommandPayload").implement({
	fields: (t) => ({ command: t.field({ type: CommandRef, resolve: ({ command }) => command }) }),
});

builder.mutationField("cancelCommand", (t) =>
	t.field({
		type: CommandPayload,
		description:
			"Ends a command: at once when no worker has it, else the worker is told. Safe to repeat. Role: operator, or admin where the command itself needs it.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => ({ command: await cancelAs(ctx.deps, ctx.as("operator"), id) }),
	}),
);

builder.subscriptionField("commandChanged", (t) =>
	t.field({
		type: CommandRef,
		description: "Commands as they are queued, begin and end. Role: viewer.",
		args: { hostId: t.arg.id(), commandIds: t.arg.idList() },
		subscribe: (_, { hostId, commandIds }, ctx) => {
			const { tenantId } = ctx.as("viewer");
			const wanted = commandIds == null ? undefined : new Set(commandIds.map(String));
			return eventSubscription(ctx, { tenantId, kind: "command" }, (event) =>
				(hostId == null || event.hostId === hostId) && (wanted === undefined || wanted.has(event.commandId)) ? [event.commandId] : [],
			);
		},
		resolve: (id) => id,
	}),
);
