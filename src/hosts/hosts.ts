import type { AlertKind, AlertSeverity, NewAlert } from "../alerts/alert.ts";
import { raiseAlerts } from "../alerts/store.ts";
import { record } from "../audit/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { append } from "../events/outbox.ts";
import type { HostRecord } from "./host.ts";
import { type LifeEvent, transition } from "./lifecycle.ts";
import { hostsOfWorkers, lockStaleHosts, moveHosts } from "./store.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "log">;

/** Hosts taken in one step of the sweep: a step stays well under a second. */
const stepMax = 500;

/**
 * Makes hosts that were not heard for `staleSeconds` DEGRADED, with an alert, an audit line and an event each (H13). Several servers
 * may sweep at once: each host is taken by one. Returns how many there were.
 */
export async function sweepStaleHosts(deps: Tools, staleSeconds: number): Promise<number> {
	let total = 0;
	for (;;) {
		const swept = await deps.db.tx(async (tx) => {
			const stale = await lockStaleHosts(tx, deps.clock.now() - staleSeconds * 1_000, stepMax);
			await step(deps, tx, stale, "stale", (host) => ({
				kind: "HOST_DEGRADED",
				severity: "warning",
				message: `Host "${host.name}" has sent no heartbeat for ${staleSeconds} s: it was ${host.lastKnownState}`,
			}));
			return stale.length;
		});
		total += swept;
		if (swept < stepMax) return total;
	}
}

/**
 * Moves along the hosts of workers that were heard: DEGRADED is lifted, with an alert; a host that waited for the first sign of a worker that
 * never enrolls (A12) begins its life. Others are left alone.
 */
export async function recoverHosts(
	deps: Tools,
	workers: readonly { readonly tenantId: string; readonly workerId: string }[],
): Promise<void> {
	const tenants = Map.groupBy(workers, ({ tenantId }) => tenantId);
	for (const [tenantId, ofTenant] of tenants) {
		await deps.db.tx(async (tx) => {
			const hosts = await hostsOfWorkers(
				tx,
				tenantId,
				ofTenant.map(({ workerId }) => workerId),
			);
			hosts.sort((left, right) => (left.id < right.id ? -1 : 1));
			await step(
				deps,
				tx,
				hosts.filter(({ state }) => state === "PENDING"),
				"enrolled",
				() => undefined,
			);
			await step(
				deps,
				tx,
				hosts.filter(({ state }) => state !== "PENDING"),
				"heartbeat",
				(host) => ({ kind: "HOST_RECOVERED", severity: "info", message: `Host "${host.name}" is back: it is ${host.state}` }),
			);
		});
	}
}

/** Moves each host along with guarded updates, and writes the alert, audit line and event of each that moved. */
async function step(
	deps: Tools,
	tx: Tx,
	hosts: readonly HostRecord[],
	event: LifeEvent,
	alertOf: (host: HostRecord) => { readonly kind: AlertKind; readonly severity: AlertSeverity; readonly message: string } | undefined,
): Promise<void> {
	const at = deps.clock.now();
	const moves = Map.groupBy(hosts, (host) => `${host.state} ${host.lastKnownState}`);
	for (const group of moves.values()) {
		const [first] = group;
		const next = first === undefined ? undefined : transition(first, event);
		if (first === undefined || next === undefined) continue;
		const moved = await moveHosts(
			tx,
			group.map(({ id }) => id),
			first,
			next,
		);
		const alerts = moved.flatMap((host): NewAlert[] => {
			const alert = alertOf(host);
			if (alert === undefined) return [];
			const { tenantId, workerId, siteId } = host;
			return [{ ...alert, id: deps.mintId("alert"), tenantId, at, workerId, hostId: host.id, siteId, acknowledgedAt: null, topic: null }];
		});
		await raiseAlerts(tx, alerts);
		await record(
			tx,
			moved.map((host) => ({
				id: deps.mintId("audit"),
				tenantId: host.tenantId,
				at,
				actor: "server",
				action: `host.${next.state.toLowerCase()}`,
				subject: host.id,
				detail: { name: host.name, from: first.state },
			})),
		);
		await append(
			tx,
			moved.map((host) => ({ tenantId: host.tenantId, event: { kind: "host", host } })),
		);
		for (const host of moved) deps.log.info("host.moved", { hostId: host.id, from: first.state, to: host.state });
	}
}
