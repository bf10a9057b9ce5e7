import type { NewAlert } from "../alerts/alert.ts";
import { raiseAlerts } from "../alerts/store.ts";
import type { Deps } from "../deps.ts";
import { leftOn } from "./store.ts";

/** Tenants taken in one step of the sweep. */
const stepMax = 200;

/**
 * Raises AUTO_ENROLLMENT_LEFT_ON for tenants whose auto-enrollment has been on for longer than `hours`, once for each time it was turned on (A19).
 * Several servers may do it at once.
 */
export async function warnOfLeftOn(deps: Pick<Deps, "db" | "clock" | "mintId">, hours: number): Promise<void> {
	await deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		const tenants = await leftOn(tx, at - hours * 3_600_000, stepMax);
		await raiseAlerts(
			tx,
			tenants.map(
				({ tenantId, topic, enabledAt }): NewAlert => ({
					id: deps.mintId("alert"),
					tenantId,
					at,
					kind: "AUTO_ENROLLMENT_LEFT_ON",
					severity: "warning",
					message: `Auto-enrollment has been on since ${new Date(enabledAt).toISOString()}, longer than ${hours} h: turn it off when no machine is to come`,
					workerId: null,
					hostId: null,
					siteId: null,
					acknowledgedAt: null,
					topic,
				}),
			),
		);
	});
}
