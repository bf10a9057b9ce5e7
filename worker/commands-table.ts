import * as v from "valibot";
import { type CommandKind, type CommandParams, commandKinds, commandParams } from "../src/protocol/commands.ts";
import { doDeployAgent, doRemoveAgent } from "./commands-agent.ts";
import { doCreate, doInspect, doPull, doRemove, doRestart, doStart, doStop } from "./commands-containers.ts";
import { doGrant, doProve, doRevoke } from "./commands-fuse.ts";
import type { CommandContext, Doer, EngineContext, PlainDoer } from "./commands-kind.ts";
import { doStack } from "./commands-stacks.ts";
import { doExec, doLogs } from "./commands-streams.ts";

/** How a kind is done, its parameters checked. */
export type KindDoer =
	| { readonly needsEngine: true; readonly run: (context: EngineContext, params: unknown) => Promise<unknown> }
	| { readonly needsEngine: false; readonly run: (context: CommandContext, params: unknown) => Promise<unknown> };

/** How each kind is done on this host. */
export const doers: Readonly<Record<CommandKind, KindDoer>> = {
	"container.inspect": onEngine("container.inspect", doInspect),
	"container.logs": onEngine("container.logs", doLogs),
	"container.exec": onEngine("container.exec", doExec),
	"container.create": onEngine("container.create", doCreate),
	"container.start": onEngine("container.start", doStart),
	"container.stop": onEngine("container.stop", doStop),
	"container.restart": onEngine("container.restart", doRestart),
	"container.remove": onEngine("container.remove", doRemove),
	"image.pull": onEngine("image.pull", doPull),
	"stack.deploy": onEngine("stack.deploy", (context, params) => doStack(context, { kind: "stack.deploy", params })),
	"stack.scale": onEngine("stack.scale", (context, params) => doStack(context, { kind: "stack.scale", params })),
	"stack.remove": onEngine("stack.remove", (context, params) => doStack(context, { kind: "stack.remove", params })),
	"fuse.prove": onEngine("fuse.prove", doProve),
	"fuse.grant": onEngine("fuse.grant", doGrant),
	"fuse.revoke": plain("fuse.revoke", doRevoke),
	"agent.deploy": onEngine("agent.deploy", doDeployAgent),
	"agent.remove": onEngine("agent.remove", doRemoveAgent),
};

/** The kind a server named, undefined for one that this worker does not know. */
export function knownKind(name: string | null): CommandKind | undefined {
	return name !== null && Object.hasOwn(commandKinds, name) ? (name as CommandKind) : undefined;
}

/** What is wrong with a command's parameters; undefined: nothing. */
export function paramsProblem(kind: CommandKind, params: unknown): string | undefined {
	const parsed = v.safeParse(commandParams[kind], params);
	if (parsed.success) return undefined;
	const [issue] = parsed.issues;
	return `Cannot do ${kind}: ${v.getDotPath(issue) ?? "its parameters"}: ${issue.message}`;
}

/** The container that parameters name. */
export function containerOf(params: unknown): string | undefined {
	const parsed = v.safeParse(v.object({ container: v.string() }), params);
	return parsed.success ? parsed.output.container : undefined;
}

function onEngine<K extends CommandKind>(kind: K, doer: Doer<K>): KindDoer {
	return { needsEngine: true, run: (context, params) => doer(context, v.parse(commandParams[kind], params) as CommandParams<K>) };
}

function plain<K extends CommandKind>(kind: K, doer: PlainDoer<K>): KindDoer {
	return { needsEngine: false, run: (context, params) => doer(context, v.parse(commandParams[kind], params) as CommandParams<K>) };
}
