import { includesRole } from "../auth/authorize.ts";
import {
	containersUp,
	type StackContainer,
	type StackRecord,
	type StackServiceRecord,
	type StackState,
	stackState,
	stackStates,
} from "../stacks/stack.ts";
import { composeOf, deployStack, redeployStack, removeStack, scaleStack, type StackChange, stacksMax } from "../stacks/stacks.ts";
import { containersOfHosts, stacksByIds, stacksOfHosts } from "../stacks/store.ts";
import { aligned } from "./aligned.ts";
import { builder } from "./builder.ts";
import { CommandRef } from "./command.ts";
import type { GraphQLContext } from "./context.ts";
import { LabelInput } from "./label.ts";
import { HostRef } from "./refs.ts";

const StackStateEnum = builder.enumType("StackState", {
	description:
		"CHANGING: a command about it has not ended. FAILED: the last one did not succeed, see `error`. RUNNING, PARTIAL, STOPPED: what the host's worker last reported of its containers.",
	values: stackStates,
});

const StackServiceType = builder
	.objectRef<StackServiceRecord & { readonly containers: readonly StackContainer[] }>("StackService")
	.implement({
		fields: (t) => ({
			name: t.exposeString("name"),
			image: t.exposeString("image"),
			replicas: t.exposeInt("replicas", { description: "How many containers it shall have." }),
			running: t.int({
				description: "How many run, or ran to their end, as the host's worker last reported.",
				resolve: ({ name, containers }) => containersUp(name, containers),
			}),
		}),
	});

const StackRef = builder.loadableNodeRef("Stack", {
	id: { resolve: (stack: StackRecord) => stack.id },
	load: async (ids: string[], ctx) => aligned(ids, await stacksByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids), ({ id }) => id),
});

interface SeenStack {
	readonly stack: StackRecord;
	readonly containers: readonly StackContainer[];
}

/** Stacks of these ids with what was last reported of their containers; null for one that went meanwhile. */
async function loadSeen(ids: readonly string[], ctx: GraphQLContext): Promise<(SeenStack | null)[]> {
	const [{ tenantId }, { sql }] = [ctx.as("viewer"), ctx.deps.db];
	const stacks = await stacksByIds(sql, tenantId, ids);
	const hosts = [...new Set(stacks.map(({ hostId }) => hostId))];
	const containers = Map.groupBy(await containersOfHosts(sql, tenantId, hosts), ({ hostId, project }) => `${hostId} ${project}`);
	return aligned(ids, stacks, ({ id }) => id).map(
		(stack) => stack && { stack, containers: containers.get(`${stack.hostId} ${stack.name}`) ?? [] },
	);
}

StackRef.implement({
	description: "Containers that belong together, as a compose file says they shall be on a host.",
	fields: (t) => ({
		name: t.exposeString("name", { description: "The project's, as `docker compose ls` shows it." }),
		host: t.field({ type: HostRef, nullable: true, resolve: (stack) => stack.hostId }),
		revision: t.exposeInt("revision", { description: "Counts deployments and scalings." }),
		variables: t.exposeStringList("variables", { description: "The names of its variables; their values are shown to nobody." }),
		compose: t.string({
			nullable: true,
			description: "The compose file as it was deployed. Null to those below the role admin: it may hold secrets.",
			resolve: (stack, _, ctx) => {
				const { role, tenantId } = ctx.as("viewer");
				return includesRole(role, "admin") ? composeOf(ctx.deps, tenantId, stack.id) : null;
			},
		}),
		createdAt: t.expose("createdAt", { type: "DateTime" }),
		updatedAt: t.expose("updatedAt", { type: "DateTime" }),
		updatedBy: t.exposeString("updatedBy"),
		lastCommand: t.field({
			type: CommandRef,
			nullable: true,
			description: "The last command about it; its output tells what was done. Null when that was long ago.",
			resolve: (stack) => stack.commandId,
		}),
		error: t.exposeString("error", { nullable: true, description: "Why the last command did not succeed." }),
		state: t.loadable({
			type: StackStateEnum,
			load: async (ids: string[], ctx): Promise<StackState[]> =>
				(await loadSeen(ids, ctx)).map((seen) => (seen === null ? "STOPPED" : stackState(seen.stack, seen.containers))),
			resolve: ({ id }) => id,
		}),
		services: t.loadableList({
			type: StackServiceType,
			load: async (ids: string[], ctx) =>
				(await loadSeen(ids, ctx)).map((seen) => (seen?.stack.services ?? []).map((it) => ({ ...it, containers: seen?.containers ?? [] }))),
			resolve: ({ id }) => id,
		}),
	}),
});

builder.objectField(HostRef, "stacks", (t) =>
	t.loadableGroup({
		type: StackRef,
		description: "What shall be on it, by name.",
		complexity: { field: 1, multiplier: 10 },
		load: (ids: string[], ctx): Promise<StackRecord[]> => stacksOfHosts(ctx.deps.db.sql, ctx.as("viewer").tenantId, ids, stacksMax),
		group: (stack) => (stack as StackRecord).hostId,
		resolve: (host) => host.id,
	}),
);

builder.queryField("stack", (t) =>
	t.field({
		type: StackRef,
		nullable: true,
		description: "By id; by name they are in `Host.stacks`. Role: viewer.",
		args: { id: t.arg.id({ required: true }) },
		resolve: async (_, { id }, ctx) => (await stacksByIds(ctx.deps.db.sql, ctx.as("viewer").tenantId, [id]))[0] ?? null,
	}),
);

const DeployStackInput = builder.inputType("DeployStackInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		name: t.string({ required: true, description: "The project's: lower-case letters, digits, - and _." }),
		compose: t.string({ required: true, description: "A compose file. What is not supported is an error that names it." }),
		environment: t.field({
			type: [LabelInput],
			description: "Values of the file's variables. Kept sealed, and shown to nobody.",
		}),
	}),
});
const ScaleStackInput = builder.inputType("ScaleStackInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		name: t.string({ required: true }),
		service: t.string({ required: true }),
		replicas: t.int({ required: true }),
	}),
});
const RedeployStackInput = builder.inputType("RedeployStackInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		name: t.string({ required: true }),
		pull: t.boolean({ description: "Fetches its images first, also those that are there." }),
	}),
});
const RemoveStackInput = builder.inputType("RemoveStackInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		name: t.string({ required: true }),
		volumes: t.boolean({ description: "Also its volumes, with what they hold." }),
	}),
});

const StackPayload = builder.objectRef<StackChange>("StackPayload").implement({
	fields: (t) => ({
		stack: t.field({ type: StackRef, resolve: ({ stack }) => stack }),
		command: t.field({
			type: CommandRef,
			description: "Its output (commandOutput) has a line for each thing that is done; its end says whether all was.",
			resolve: ({ command }) => command,
		}),
	}),
});

const queued =
	"The host must be FUSED; while it is DEGRADED the command waits for its return. Changes of one host are made one after the other, in the order they were asked for. Role: admin.";
builder.mutationFields((t) => ({
	deployStack: t.field({
		type: StackPayload,
		description: `Makes a host's stack what a compose file says; containers of services that did not change stay. ${queued}`,
		args: { input: t.arg({ type: DeployStackInput, required: true }) },
		resolve: (_, { input }, ctx) => deployStack(ctx.deps, ctx.as("admin"), input),
	}),
	scaleStack: t.field({
		type: StackPayload,
		description: `Brings a service to so many containers. The next deployStack goes by its file again. ${queued}`,
		args: { input: t.arg({ type: ScaleStackInput, required: true }) },
		resolve: (_, { input }, ctx) => scaleStack(ctx.deps, ctx.as("admin"), input),
	}),
	redeployStack: t.field({
		type: StackPayload,
		description: `Makes the host what the stack says once more: only what differs is made anew. ${queued}`,
		args: { input: t.arg({ type: RedeployStackInput, required: true }) },
		resolve: (_, { input }, ctx) => redeployStack(ctx.deps, ctx.as("admin"), input),
	}),
	removeStack: t.field({
		type: StackPayload,
		description: `Removes a stack's containers and networks from its host, and then the stack. ${queued}`,
		args: { input: t.arg({ type: RemoveStackInput, required: true }) },
		resolve: (_, { input }, ctx) => removeStack(ctx.deps, ctx.as("admin"), input),
	}),
}));
