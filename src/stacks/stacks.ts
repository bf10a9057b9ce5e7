import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { refusalOf } from "../commands/allowed.ts";
import type { CommandRecord } from "../commands/command.ts";
import { enqueueCommand, onCommandEnd } from "../commands/commands.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { checkStack } from "../engine/stack-check.ts";
import { stackParam } from "../engine/stack-command.ts";
import { stackModel } from "../engine/stack-model.ts";
import { MusterError, notFound } from "../errors.ts";
import type { HostRecord } from "../hosts/host.ts";
import { lockHosts } from "../hosts/store.ts";
import { parseInput } from "../input.ts";
import type { CommandKind, CommandParams } from "../protocol/commands.ts";
import { readCompose } from "./compose.ts";
import { deployInput, redeployInput, removeInput, scaleInput } from "./input.ts";
import { type Desired, stackPlace, type StackRecord } from "./stack.ts";
import { countStacks, desiredSealed, dropStack, saveOutcome, saveStack, stackOf } from "./store.ts";

/** Most stacks of one host. */
export const stacksMax = 100;

/** A stack, and the command that makes the host follow it. */
export interface StackChange {
	readonly stack: StackRecord;
	readonly command: CommandRecord;
}

/**
 * Has a stack deployed from a compose file, new or in place of the one of that name; it is as written from then on, whatever the numbers of
 * containers were before. BAD_USER_INPUT tells all that is wrong with the file; CONFLICT when the host is not FUSED. While another change of the
 * stack waits this one waits behind it: a host does its commands in order.
 */
export async function deployStack(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<StackChange> {
	const { hostId, name, compose, environment } = parseInput("deploy the stack", deployInput, raw);
	const read = readCompose(compose, name, new Map(Object.entries(environment)));
	if (read.kind === "problems") {
		const told = read.problems.map(({ path, message }) => `${path} ${message}`).join("; ");
		throw new MusterError("BAD_USER_INPUT", `Cannot deploy the stack "${name}": ${told}`, { fields: ["compose"] });
	}
	return deps.db.tx(async (tx) => {
		const host = await fusedHost(tx, operator, hostId, "stack.deploy");
		const former = await stackOf(tx, operator.tenantId, hostId, name);
		if (former === undefined && (await countStacks(tx, operator.tenantId, hostId)) >= stacksMax)
			throw new MusterError(
				"CONFLICT",
				`Cannot deploy the stack "${name}": host "${host.name}" has ${stacksMax} already, remove one first`,
			);
		const desired: Desired = { compose, environment, model: read.model };
		const command = await enqueue(deps, tx, operator, host, "stack.deploy", { project: name, stack: stackParam(read.model) });
		return change(deps, tx, operator, former ?? { id: deps.mintId("stack"), hostId, name, revision: 0 }, desired, command, "deployed");
	});
}

/** Brings one service to so many containers, from now on: the next redeployment keeps it. BAD_USER_INPUT for a service that is none, or cannot be several. */
export async function scaleStack(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<StackChange> {
	const { hostId, name, service, replicas } = parseInput("scale the stack", scaleInput, raw);
	return deps.db.tx(async (tx) => {
		const host = await fusedHost(tx, operator, hostId, "stack.scale");
		const { stack, desired } = await existing(deps, tx, operator, hostId, name);
		const fail = (why: string) => new MusterError("BAD_USER_INPUT", `Cannot scale the stack "${name}": ${why}`, { fields: ["service"] });
		const names = desired.model.services.map((it) => it.name);
		if (!names.includes(service)) throw fail(`it has no service "${service}", give one of ${names.join(", ")}`);
		const model = {
			...desired.model,
			services: desired.model.services.map((it) => (it.name === service ? { ...it, replicas } : it)),
		};
		const [problem] = checkStack(model);
		if (problem !== undefined) throw fail(`${problem.path} ${problem.message}`);
		const command = await enqueue(deps, tx, operator, host, "stack.scale", { project: name, stack: stackParam(model), service, replicas });
		return change(deps, tx, operator, stack, { ...desired, model }, command, "scaled", { service, replicas });
	});
}

/**
 * Deploys a stack again as it stands: what differs on the host is made anew, the rest left alone. With `pull` its images are fetched first, and
 * services whose image changed are made anew. NOT_FOUND without such a stack.
 */
export async function redeployStack(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<StackChange> {
	const { hostId, name, pull } = parseInput("redeploy the stack", redeployInput, raw);
	return deps.db.tx(async (tx) => {
		const host = await fusedHost(tx, operator, hostId, "stack.deploy");
		const { stack, desired } = await existing(deps, tx, operator, hostId, name);
		const services = desired.model.services.map((it) => (pull ? { ...it, pull: "always" as const } : it));
		const params = { project: name, stack: stackParam({ ...desired.model, services }) };
		const command = await enqueue(deps, tx, operator, host, "stack.deploy", params);
		return change(deps, tx, operator, stack, desired, command, "redeployed", { pull });
	});
}

/** Has a stack removed from its host, with `volumes` also what its volumes hold. It is there until that is done, and stays when it fails. */
export async function removeStack(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<StackChange> {
	const { hostId, name, volumes } = parseInput("remove the stack", removeInput, raw);
	return deps.db.tx(async (tx) => {
		const host = await fusedHost(tx, operator, hostId, "stack.remove");
		const { stack, desired } = await existing(deps, tx, operator, hostId, name);
		const command = await enqueue(deps, tx, operator, host, "stack.remove", { project: name, volumes });
		return change(deps, tx, operator, stack, desired, command, "removal_requested", { volumes });
	});
}

/** The compose file of a stack, for those who may see secrets; null when there is no such stack. */
export async function composeOf(deps: Pick<Deps, "db" | "vault">, tenantId: string, id: string): Promise<string | null> {
	const sealed = await desiredSealed(deps.db.sql, tenantId, id);
	return sealed === undefined ? null : opened(deps, id, sealed).compose;
}

/** Has stacks follow how the commands about them end, from now on; one that was removed goes. Returns what takes it back. */
export function followStackCommands(): () => void {
	const kinds = ["stack.deploy", "stack.scale", "stack.remove"] as const;
	const undo = kinds.map((kind) =>
		onCommandEnd(kind, async (tx, _, { tenantId, id, state, errorMessage }) => {
			if (state === "QUEUED" || state === "RUNNING") return;
			if (kind === "stack.remove" && state === "SUCCEEDED") await dropStack(tx, tenantId, id);
			else await saveOutcome(tx, tenantId, id, { outcome: state, error: errorMessage });
		}),
	);
	return () => {
		for (const back of undo) back();
	};
}

/** The host, locked: whoever changes a host's stacks does so one after the other. */
async function fusedHost(
	tx: Tx,
	{ tenantId }: OperatorPrincipal,
	hostId: string,
	kind: CommandKind,
): Promise<HostRecord & { readonly workerId: string }> {
	const [host] = (await lockHosts(tx, [hostId])).filter((one) => one.tenantId === tenantId);
	if (host === undefined) throw notFound("host", hostId);
	const { workerId } = host;
	const refusal = refusalOf(kind, host) ?? (workerId === null ? `host "${host.name}" has no worker yet, install it first` : undefined);
	if (refusal !== undefined || workerId === null) throw new MusterError("CONFLICT", `Cannot change its stacks: ${refusal}`);
	return { ...host, workerId };
}

async function existing(
	deps: Deps,
	tx: Tx,
	{ tenantId }: OperatorPrincipal,
	hostId: string,
	name: string,
): Promise<{ readonly stack: StackRecord; readonly desired: Desired }> {
	const stack = await stackOf(tx, tenantId, hostId, name);
	const sealed = stack === undefined ? undefined : await desiredSealed(tx, tenantId, stack.id);
	if (stack === undefined || sealed === undefined) throw notFound("stack", name);
	return { stack, desired: opened(deps, stack.id, sealed) };
}

const desiredSchema = v.object({ compose: v.string(), environment: v.record(v.string(), v.string()), model: stackModel });

function opened(deps: Pick<Deps, "vault">, id: string, sealed: string): Desired {
	return v.parse(desiredSchema, JSON.parse(deps.vault.open(sealed, stackPlace(id))));
}

function enqueue<K extends CommandKind>(
	deps: Deps,
	tx: Tx,
	{ tenantId, actor }: OperatorPrincipal,
	{ id: hostId, workerId }: HostRecord & { readonly workerId: string },
	kind: K,
	params: CommandParams<K>,
): Promise<CommandRecord> {
	return enqueueCommand(deps, tx, { tenantId, hostId, workerId, kind, params, deadlineAt: null, actor });
}

/** Writes the stack as it shall be, with its audit line: services, names of variables, never a value. */
async function change(
	deps: Deps,
	tx: Tx,
	{ tenantId, actor }: OperatorPrincipal,
	former: Pick<StackRecord, "id" | "hostId" | "name" | "revision"> & Partial<StackRecord>,
	desired: Desired,
	command: CommandRecord,
	verb: "deployed" | "scaled" | "redeployed" | "removal_requested",
	more: Readonly<Record<string, unknown>> = {},
): Promise<StackChange> {
	const at = deps.clock.now();
	const { id, hostId, name } = former;
	const stack: StackRecord = {
		id,
		tenantId,
		hostId,
		name,
		revision: former.revision + (verb === "deployed" || verb === "scaled" ? 1 : 0),
		services: desired.model.services.map((it) => ({ name: it.name, image: it.image, replicas: it.replicas })),
		variables: Object.keys(desired.environment).sort(),
		createdAt: former.createdAt ?? at,
		updatedAt: at,
		updatedBy: actor,
		commandId: command.id,
		outcome: null,
		error: null,
	};
	await saveStack(tx, stack, deps.vault.seal(JSON.stringify(desired), stackPlace(id)));
	const { revision, services, variables } = stack;
	const detail = { hostId, name, revision, command: command.id, services, variables, ...more };
	await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: `stack.${verb}`, subject: id, detail }]);
	return { stack, command };
}
