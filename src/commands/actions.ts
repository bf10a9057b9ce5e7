import { includesRole } from "../auth/authorize.ts";
import type { OperatorPrincipal, Role } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { hostsByIds } from "../hosts/store.ts";
import { type CommandKind, type CommandParams, commandKinds } from "../protocol/commands.ts";
import type { CommandRecord } from "./command.ts";
import { cancelCommand, enqueueCommand } from "./commands.ts";
import { commandsByIds } from "./store.ts";

/** Who may ask for a kind of command, and end it: an operator reads, an admin changes and runs things. */
export function roleFor(kind: CommandKind): Role {
	return commandKinds[kind].lane === "free" && kind !== "container.exec" ? "operator" : "admin";
}

/** Queues a command for an operator on one of the hosts of its tenant. NOT_FOUND without such a host; the rest as `enqueueCommand` says. */
export async function ask<K extends CommandKind>(
	deps: Deps,
	operator: OperatorPrincipal,
	hostId: string,
	kind: K,
	params: CommandParams<K>,
	deadlineSeconds: number | null = null,
): Promise<CommandRecord> {
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const [host] = await hostsByIds(tx, tenantId, [hostId]);
		if (host === undefined) throw notFound("host", hostId);
		const { workerId } = host;
		if (workerId === null)
			throw new MusterError("CONFLICT", `Cannot queue ${kind}: host "${host.name}" has no worker yet, install it first`);
		const deadlineAt = deadlineSeconds === null ? null : deps.clock.now() + deadlineSeconds * 1_000;
		return enqueueCommand(deps, tx, { tenantId, hostId, workerId, kind, params, deadlineAt, actor });
	});
}

/** Ends a command for an operator, who needs the role that the command itself needs. */
export async function cancelAs(deps: Deps, operator: OperatorPrincipal, id: string): Promise<CommandRecord> {
	const { tenantId, actor } = operator;
	const [command] = await commandsByIds(deps.db.sql, tenantId, [id]);
	if (command === undefined) throw notFound("command", id);
	needRole(operator, command.kind);
	return deps.db.tx((tx) => cancelCommand(deps, tx, { tenantId, id, actor }));
}

/** FORBIDDEN when the operator's role is too weak for this kind of command. */
export function needRole(operator: OperatorPrincipal, kind: CommandKind): void {
	const needed = roleFor(kind);
	if (!includesRole(operator.role, needed))
		throw new MusterError("FORBIDDEN", `This needs the role ${needed}; the token of "${operator.subject}" has ${operator.role}`);
}
