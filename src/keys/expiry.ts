import type { NewAlert } from "../alerts/alert.ts";
import { raiseAlerts } from "../alerts/store.ts";
import type { Deps } from "../deps.ts";
import { siteKeyFingerprint } from "./key.ts";
import { type ExpiringKey, expiringKeys } from "./store.ts";

/** Keys taken in one step of the sweep. */
const stepMax = 200;

/**
 * Raises KEY_EXPIRING once for each key that will soon let nobody in though it could: enrollment keys with uses left in the last tenth of
 * their life (at most its last day), and former site keys in the last day of their grace that workers enrolled with. Several servers may do it
 * at once. Returns how many there were.
 */
export async function warnOfExpiringKeys(deps: Pick<Deps, "db" | "clock" | "mintId">): Promise<number> {
	return deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		const keys = await expiringKeys(tx, at, stepMax);
		await raiseAlerts(
			tx,
			keys.map(
				(key): NewAlert => ({
					id: deps.mintId("alert"),
					tenantId: key.tenantId,
					at,
					kind: "KEY_EXPIRING",
					severity: "warning",
					message: message(key),
					workerId: null,
					hostId: null,
					siteId: key.siteId,
					acknowledgedAt: null,
					topic: `expiring ${key.id}`,
				}),
			),
		);
		return keys.length;
	});
}

function message(key: ExpiringKey): string {
	const ends = new Date(key.endsAt).toISOString();
	if (key.kind === "enroll")
		return `Enrollment key "${key.name}" expires at ${ends} with uses left: create a new one if more workers are to come`;
	return `The grace of former ${key.name}, ${siteKeyFingerprint(key)}, ends at ${ends}: give the current key to what still uses it`;
}
