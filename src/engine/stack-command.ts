import * as v from "valibot";
import type { CommandParams } from "../protocol/commands.ts";
import type { Engine } from "./engine.ts";
import { EngineError } from "./error.ts";
import { convergeStack, removeStack, scaleStack, type StackResult } from "./stack-converge.ts";
import { type StackModel, stackModel } from "./stack-model.ts";
import type { StackRun } from "./stack-steps.ts";

/** The commands about stacks, with their parameters. */
export type StackCommand = {
	readonly [K in "stack.deploy" | "stack.scale" | "stack.remove"]: { readonly kind: K; readonly params: CommandParams<K> };
}["stack.deploy" | "stack.scale" | "stack.remove"];

/**
 * Carries out a command about a stack, for worker and server alike. May be repeated whole after an end at any point: it goes on where the
 * host is, and does nothing twice. Rejects with `EngineError` (`bad_request` for a stack this program does not understand), or the signal's reason.
 */
export async function runStackCommand(engine: Engine, { kind, params }: StackCommand, run: StackRun): Promise<StackResult> {
	if (kind === "stack.remove") return removeStack(engine, params.project, { volumes: params.volumes }, run);
	const model = parseModel(params.stack, params.project);
	return kind === "stack.deploy" ? convergeStack(engine, model, run) : scaleStack(engine, model, params, run);
}

function parseModel(raw: unknown, project: string): StackModel {
	const parsed = v.safeParse(v.strictObject({ content: stackModel }), raw);
	if (!parsed.success) {
		const [issue] = parsed.issues;
		throw new EngineError("bad_request", `Cannot read the stack: ${v.getDotPath(issue) ?? "it"}: ${issue.message}; update the worker`);
	}
	const { content } = parsed.output;
	if (content.project !== project) throw new EngineError("bad_request", `The stack is of "${content.project}", not "${project}"`);
	return content;
}

/** A stack as the commands carry it. */
export function stackParam(model: StackModel): { readonly content: StackModel } {
	return { content: model };
}
