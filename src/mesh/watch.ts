import type { NewAlert } from "../alerts/alert.ts";
import { raiseAlerts } from "../alerts/store.ts";
import type { Deps } from "../deps.ts";
import { lastMeshAlerts } from "./alert-store.ts";
import type { MeshState, RealMesh } from "./port.ts";

/** What one server process makes of the mesh: undefined until it has judged. */
export type Judged = "up" | "down" | undefined;

/** Probes in a row that must fail before the mesh counts as down: one lost packet is no outage. */
const badProbesMax = 2;

/** The judgement after one more probe, and how many have failed in a row. Pure. */
export function judge(before: Judged, bad: number, state: MeshState): { readonly judged: Judged; readonly bad: number } {
	if (state.ok) return { judged: "up", bad: 0 };
	return { judged: bad + 1 >= badProbesMax ? "down" : before, bad: bad + 1 };
}

/**
 * Tells every tenant's operators that the mesh went down, or is back. Of one outage there is one alert each, however many servers see it; a server
 * whose own way to the mesh never failed says nothing about it. Called when a judgement changed.
 */
export async function tellTenants(
	deps: Pick<Deps, "db" | "clock" | "mintId">,
	judged: "up" | "down",
	reason: string | undefined,
): Promise<void> {
	await deps.db.tx(async (tx) => {
		const last = await lastMeshAlerts(tx);
		const at = deps.clock.now();
		const alerts = last.flatMap(({ tenantId, alertId, kind }): NewAlert[] => {
			const common = { id: deps.mintId("alert"), tenantId, at, workerId: null, hostId: null, siteId: null, acknowledgedAt: null };
			if (judged === "down") {
				if (kind === "MESH_DOWN") return [];
				const message = `The mesh is down (${reason ?? "no reason is known"}): host tokens are refused with mesh_mint_failed until it is back, everything else goes on`;
				return [{ ...common, kind: "MESH_DOWN", severity: "critical", message, topic: `mesh down after ${alertId ?? "the start"}` }];
			}
			if (kind !== "MESH_DOWN") return [];
			return [{ ...common, kind: "MESH_RECOVERED", severity: "info", message: "The mesh is back", topic: `mesh back after ${alertId}` }];
		});
		await raiseAlerts(tx, alerts);
	});
}

/** Watches the mesh: `look` probes once and tells what changed. */
export function meshWatch(deps: Pick<Deps, "db" | "clock" | "mintId" | "log">, mesh: RealMesh): { look(): Promise<void> } {
	let judged: Judged;
	let bad = 0;
	return {
		async look() {
			const state = await mesh.probe();
			const next = judge(judged, bad, state);
			bad = next.bad;
			if (next.judged === judged || next.judged === undefined) return;
			await tellTenants(deps, next.judged, state.reason);
			// Judged anew only once it is told: a database that is away is asked again at the next look.
			judged = next.judged;
			deps.log[judged === "up" ? "info" : "warn"]("mesh.judged", { judged, reason: state.reason });
		},
	};
}
