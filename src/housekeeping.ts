import { clearInterval, setInterval } from "node:timers";
import type { Deps } from "./deps.ts";
import { warnOfLeftOn } from "./auto-enrollment/left-on.ts";
import { sweepCommands } from "./commands/sweep.ts";
import { pruneNonces } from "./enrollment/auto-store.ts";
import { pruneReplies } from "./enrollment/store.ts";
import { warnOfExpiringKeys } from "./keys/expiry.ts";
import { pruneEvents } from "./events/store.ts";
import { pruneFusions } from "./fuse/store.ts";
import { pruneHostEvents } from "./inventory/events-store.ts";
import { sweepStaleHosts } from "./hosts/hosts.ts";
import { pruneDeliveries } from "./webhooks/store.ts";

/** Rows taken in one pruning step: short enough to hold no lock long. */
const pruneMax = 1_000;

/** Starts the timed work of one server process: stale hosts, what has
 * had its time, and alerts about what ends soon or was left on. Several servers may do it at once. Returns what stops it. */
export function startHousekeeping(deps: Deps): () => Promise<void> {
	const { staleSeconds } = deps.settings;
	let running: Promise<void> | undefined;

	// While this process was down nobody could be heard: judge only after the workers have had the time to come back.
	const sweepFrom = deps.clock.monotonic() + staleSeconds * 1_000;

	async function work(): Promise<void> {
		const degraded = deps.clock.monotonic() < sweepFrom ? 0 : await sweepStaleHosts(deps, staleSeconds);
		if (degraded > 0) deps.metrics.hostsDegraded(degraded);
		await pruneReplies(deps.db.sql, deps.clock.now(), pruneMax);
		await pruneEvents(deps.db.sql, pruneMax);
		await pruneDeliveries(deps.db.sql, pruneMax);
		await pruneFusions(deps.db.sql, pruneMax);
		await pruneNonces(deps.db.sql, pruneMax);
		await sweepCommands(deps, pruneMax);
		await pruneHostEvents(deps.db.sql, pruneMax);
		await warnOfExpiringKeys(deps);
		await warnOfLeftOn(deps, deps.settings.autoEnrollmentAlertHours);
	}

	const timer = setInterval(
		() => {
			running ??= work()
				.catch((error: unknown) => deps.log.warn("housekeeping.failed", { error }))
				.finally(() => {
					running = undefined;
				});
		},
		Math.max(250, Math.min(5_000, (staleSeconds * 1_000) / 4)),
	);
	return async () => {
		clearInterval(timer);
		await running;
	};
}
