import type { NewAlert } from "../alerts/alert.ts";
import { raiseAlerts } from "../alerts/store.ts";
import { record } from "../audit/store.ts";
import { cancelCommand, enqueueCommand } from "../commands/commands.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { append } from "../events/outbox.ts";
import type { HostRecord } from "../hosts/host.ts";
import { transition } from "../hosts/lifecycle.ts";
import { lockHosts, moveHost } from "../hosts/store.ts";
import { afterCommit } from "../metrics/after-commit.ts";
import type { CommandParams } from "../protocol/commands.ts";
import type { FusionRecord } from "./fusion.ts";
import { advance, type FusionEvent, type Move } from "./machine.ts";
import { pendingChanges, saveFusion } from "./store.ts";

/** How long the worker's part of an undoing waits for a host that is away. */
const undoMs = 24 * 3_600_000;
/** More cannot wait for one host. */
const changesMax = 1_000;

/** What an event needs beside itself. */
export interface Happening {
	readonly event: FusionEvent;
	/** As the audit log names it. */
	readonly actor: string;
	/** With `registered`: how the agent is to be run. */
	readonly agent?: CommandParams<"agent.deploy">;
}

/**
 * Carries out what an event comes to, in the caller's transaction: the fusion's new place, its host's, the worker's orders, audit line, event and
 * alert. The caller has locked the host, then the fusion. Undefined when the event came too late.
 */
export async function applyToFusion(
	deps: Deps,
	tx: Tx,
	fusion: FusionRecord,
	{ event, actor, agent }: Happening,
): Promise<FusionRecord | undefined> {
	const move = advance(fusion, event);
	if (move === undefined) return undefined;
	const [host] = (await lockHosts(tx, [fusion.hostId])).filter(({ tenantId }) => tenantId === fusion.tenantId);
	const own = host?.workerId === fusion.workerId ? host : undefined;
	const isEnd = fusion.outcome === null && move.outcome !== undefined;
	const moved: FusionRecord = {
		...fusion,
		step: move.step,
		outcome: fusion.outcome ?? move.outcome ?? null,
		engineId: move.engineId ?? fusion.engineId,
		environmentId: move.environmentId ?? fusion.environmentId,
		failureSource: move.failure?.source ?? fusion.failureSource,
		failureMessage: move.failure?.message ?? fusion.failureMessage,
		commandId: null,
	};
	// Orders of a fusing host are taken as long as it is that, so they come before its move; those that undo are for any host.
	const commandId = own === undefined ? null : await giveOrder(deps, tx, moved, move, agent);
	const saved = await saveFusion(tx, fusion, { ...moved, commandId });
	if (saved === undefined) return undefined;
	if (isEnd) await cancelWhatWaits(deps, tx, fusion, actor);
	const now = host === undefined || move.life === undefined ? host : await moveAlong(deps, tx, host, saved, move.life);
	if (isEnd || move.life !== undefined) await tell(deps, tx, saved, now, move, actor);
	deps.log.info("fuse.moved", { hostId: saved.hostId, fusionId: saved.id, from: fusion.step, to: saved.step, outcome: saved.outcome });
	return saved;
}

/** Queues what the worker is to do for a step, and returns the command the step waits for. */
export async function giveOrder(
	deps: Deps,
	tx: Tx,
	fusion: FusionRecord,
	{ order }: Move,
	agent: CommandParams<"agent.deploy"> | undefined,
): Promise<string | null> {
	const { tenantId, hostId, workerId, provider, challenge, engineId, deadlineAt } = fusion;
	const base = { tenantId, hostId, workerId, actor: "server", deadlineAt };
	const undoing = { ...base, deadlineAt: deps.clock.now() + undoMs };
	switch (order) {
		case "fuse.prove":
			return (await enqueueCommand(deps, tx, { ...base, kind: order, params: { challenge, image: null } })).id;
		case "fuse.grant":
			return (await enqueueCommand(deps, tx, { ...base, kind: order, params: { provider, engineId: engineId ?? "" } })).id;
		case "agent.deploy":
			if (agent === undefined) throw new Error(`Fusion ${fusion.id} has no agent to deploy`);
			return (await enqueueCommand(deps, tx, { ...base, kind: order, params: agent })).id;
		case "agent.remove":
			return (await enqueueCommand(deps, tx, { ...undoing, kind: order, params: {} })).id;
		case "fuse.revoke":
			await enqueueCommand(deps, tx, { ...undoing, kind: order, params: {} });
			return null;
		default:
			return null;
	}
}

/** Ends the step's own command, and changes that were asked for and have not been done: nobody may do them any more. */
async function cancelWhatWaits(deps: Deps, tx: Tx, { tenantId, hostId, commandId }: FusionRecord, actor: string): Promise<void> {
	const changes = await pendingChanges(tx, tenantId, hostId, changesMax);
	for (const id of commandId === null ? changes : [commandId, ...changes]) await cancelCommand(deps, tx, { tenantId, id, actor });
}

async function moveAlong(deps: Deps, tx: Tx, host: HostRecord, fusion: FusionRecord, life: NonNullable<Move["life"]>): Promise<HostRecord> {
	const next = transition(host, life);
	if (next === undefined) return host;
	const moved = await moveHost(tx, host, next, life === "fused" ? fusion.provider : null);
	if (moved === undefined) throw new Error(`Host ${host.id} moved while it was locked`);
	await append(tx, [{ tenantId: moved.tenantId, event: { kind: "host", host: moved } }]);
	deps.log.info("host.moved", { hostId: host.id, from: host.state, to: moved.state });
	return moved;
}

async function tell(deps: Deps, tx: Tx, fusion: FusionRecord, host: HostRecord | undefined, move: Move, actor: string): Promise<void> {
	const { tenantId, hostId, workerId, provider, engineId, environmentId, failureSource: source, failureMessage: message } = fusion;
	const at = deps.clock.now();
	const action = move.life === "fused" ? "host.fused" : fusion.outcome === "FAILED" ? "host.fuse_failed" : "host.unfused";
	const failure = source === null ? {} : { source, message };
	const detail = { name: host?.name ?? null, provider, engineId, environmentId, why: fusion.outcome, ...failure };
	await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action, subject: hostId, detail }]);
	const alert = alertOf(fusion, host?.name ?? hostId);
	if (alert !== undefined) {
		const where = { tenantId, at, workerId, hostId, siteId: host?.siteId ?? null, acknowledgedAt: null, topic: null };
		await raiseAlerts(tx, [{ ...alert, ...where, id: deps.mintId("alert") }]);
	}
	afterCommit(tx, () => {
		deps.metrics.fuse(provider, move.life === "fused" ? "FUSED" : (fusion.outcome ?? "FUSED"));
		if (source !== null) deps.metrics.fuseFailed(source);
		if (move.life === "fused") deps.metrics.fuseSeconds(provider, Math.max(0, ((fusion.fusedAt ?? at) - fusion.startedAt) / 1_000));
	});
}

/** What operators are told of a fusion that ended by itself. Pure. */
function alertOf(fusion: FusionRecord, name: string): Pick<NewAlert, "kind" | "severity" | "message"> | undefined {
	switch (fusion.outcome) {
		case "FAILED":
			return {
				kind: "FUSE_FAILED",
				severity: "warning",
				message: `Host "${name}" was not fused by ${fusion.provider}: ${fusion.failureMessage ?? "no reason is known"}. It is undone: mend that and fuse it again`,
			};
		case "ENGINE_CHANGED":
			return {
				kind: "ENGINE_CHANGED",
				severity: "critical",
				message: `Host "${name}" has another Docker Engine than the pinned "${fusion.engineId}": it is unfused. Find out who replaced it before you fuse it again`,
			};
		default:
			return undefined;
	}
}
