import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import type { HostRecord } from "../hosts/host.ts";
import { type FuseProvider, fuseProviders, transition } from "../hosts/lifecycle.ts";
import { hostsByIds, lockHosts, moveHost } from "../hosts/store.ts";
import { parseInput } from "../input.ts";
import { absurd } from "../lib/absurd.ts";
import { applyToFusion, giveOrder } from "./apply.ts";
import { firstMove } from "./machine.ts";
import { insertFusion, lockLiveFusion, saveFusion } from "./store.ts";

const input = v.object({ id: v.string(), provider: v.optional(v.nullable(v.picklist(fuseProviders)), null) });

/**
 * Begins to fuse a host (H11): it is FUSING, and becomes FUSED or, when that fails or takes longer than the deadline, MONITORING again. Any server
 * goes on with it. NOT_FOUND without such a host; CONFLICT, with the remedy, when it is not MONITORING; BAD_USER_INPUT for a provider that is not
 * configured.
 */
export async function fuseHost(deps: Deps, operator: OperatorPrincipal, raw: unknown): Promise<HostRecord> {
	const { id, provider: asked } = parseInput("fuse the host", input, raw);
	const provider = asked ?? "DOCKER";
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const [host] = (await lockHosts(tx, [id])).filter((one) => one.tenantId === tenantId);
		if (host === undefined) throw notFound("host", id);
		if (provider === "PORTAINER" && deps.settings.portainer === null) {
			throw new MusterError(
				"BAD_USER_INPUT",
				`Cannot fuse host "${host.name}" by PORTAINER: this server has no Portainer, give it MUSTER_PORTAINER_URL and MUSTER_PORTAINER_API_KEY`,
				{ fields: ["provider"] },
			);
		}
		const next = transition(host, "fuse");
		const { workerId } = host;
		if (next === undefined || workerId === null) throw new MusterError("CONFLICT", `Cannot fuse host "${host.name}": ${whyNot(host)}`);
		const moved = await moveHost(tx, host, next, provider);
		if (moved === undefined) throw new Error(`Host ${id} moved while it was locked`);
		const fusionId = deps.mintId("fusion");
		const move = firstMove(provider);
		const fusion = await insertFusion(
			tx,
			{
				id: fusionId,
				tenantId,
				hostId: id,
				workerId,
				provider,
				step: move.step,
				challenge: Buffer.from(deps.random.bytes(16)).toString("hex"),
				environmentName: provider === "PORTAINER" ? environmentName(host.name, fusionId) : null,
				requestedBy: actor,
			},
			deps.settings.fuseDeadlineSeconds,
		);
		const commandId = await giveOrder(deps, tx, fusion, move, undefined);
		if (commandId !== null) await saveFusion(tx, fusion, { ...fusion, commandId });
		const detail = { name: host.name, provider, fusionId };
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at: deps.clock.now(), actor, action: "host.fusing", subject: id, detail }]);
		await append(tx, [{ tenantId, event: { kind: "host", host: moved } }]);
		deps.log.info("host.moved", { hostId: id, from: host.state, to: moved.state });
		return moved;
	});
}

/**
 * Takes everything back that fusing did: changes that wait are cancelled, the worker's grant or the Edge agent and its environment go, on the
 * host's return when it is DEGRADED. A host that is FUSING is let off. NOT_FOUND without such a host; CONFLICT when there is nothing to undo.
 */
export async function unfuseHost(deps: Deps, operator: OperatorPrincipal, id: string): Promise<HostRecord> {
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const [host] = (await lockHosts(tx, [id])).filter((one) => one.tenantId === tenantId);
		if (host === undefined) throw notFound("host", id);
		const fusion = await lockLiveFusion(tx, tenantId, id);
		if (fusion === undefined)
			throw new MusterError("CONFLICT", `Cannot unfuse host "${host.name}": it is ${host.state} and not fused, nothing to do`);
		await applyToFusion(deps, tx, fusion, { event: { kind: "undo", why: "asked" }, actor });
		const [now] = await hostsByIds(tx, tenantId, [id]);
		if (now === undefined) throw notFound("host", id);
		return now;
	});
}

/** Why a host cannot be fused now, with the remedy. Pure. */
function whyNot({ state, lastKnownState, workerId, fuseProvider }: HostRecord): string {
	switch (state) {
		case "PENDING":
			return "it is PENDING, install its worker first";
		case "MONITORING":
			return workerId === null ? "it has no worker, install one first" : "it cannot be fused from MONITORING";
		case "FUSING":
			return `it is FUSING by ${providerName(fuseProvider)} already, wait for that or end it (unfuseHost)`;
		case "FUSED":
			return `it is FUSED by ${providerName(fuseProvider)} already, unfuse it first to change that (unfuseHost)`;
		case "DEGRADED":
			return `it is DEGRADED (${lastKnownState} before), wait until its worker is heard again`;
		default:
			return absurd(state);
	}
}

function providerName(provider: FuseProvider | null): string {
	return provider ?? "another provider";
}

/** Unique by the fusion's id, so that one that was begun twice finds what it made, and another fusion's is never taken for it. Pure. */
function environmentName(host: string, fusionId: string): string {
	return `muster-${host.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, 60)}-${fusionId}`;
}
