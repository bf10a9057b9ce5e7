import { clearInterval, setInterval } from "node:timers";
import type { Deps } from "./deps.ts";
import { warnOfLeftOn } from "./auto-enrollment/left-on.ts";
import { sweepCommands } from "./commands/sweep.ts";
import { isConnectionFault } from "./db/faults.ts";
import { pruneNonces } from "./enrollment/auto-store.ts";
import { pruneReplies } from "./enrollment/store.ts";
import { warnOfExpiringKeys } from "./keys/expiry.ts";
import { pruneEvents } from "./events/store.ts";
import { pruneFusions } from "./fuse/store.ts";
import { pruneHostEvents } from "./inventory/events-store.ts";
import { sweepStaleHosts } from "./hosts/hosts.ts";
import { inSteps, prune, type Retention } from "./retention.ts";
import { pruneDeliveries } from "./webhooks/store.ts";

/** Commands that one round ends at most. */
const sweepMax = 1_000;

/** Starts the timed work of one server process: stale hosts, what has
 * had its time, and alerts about what ends soon or was left on. Several servers may do it at once. Returns what stops it. */
export function startHousekeeping(deps: Deps, retention: Retention): () => Promise<void> {
	const { staleSeconds } = deps.settings;
	let running: Promise<void> | undefined;

	// While this process was down nobody could be heard: judge only after the workers have had the time to come back.
	const sweepFrom = deps.clock.monotonic() + staleSeconds * 1_000;

	const { sql } = deps.db;
	const steps: readonly (() => Promise<unknown>)[] = [
		async () => {
			const degraded = deps.clock.monotonic() < sweepFrom ? 0 : await sweepStaleHosts(deps, staleSeconds);
			if (degraded > 0) deps.metrics.hostsDegraded(degraded);
		},
		() => inSteps((limit) => pruneReplies(sql, deps.clock.now(), limit)),
		() => inSteps((limit) => pruneEvents(sql, limit)),
		() => inSteps((limit) => pruneDeliveries(sql, limit)),
		() => inSteps((limit) => pruneFusions(sql, limit)),
		() => inSteps((limit) => pruneNonces(sql, limit)),
		() => inSteps((limit) => pruneHostEvents(sql, limit)),
		() => sweepCommands(deps, sweepMax),
		() => prune(deps, retention),
		() => warnOfExpiringKeys(deps),
		() => warnOfLeftOn(deps, deps.settings.autoEnrollmentAlertHours),
	];

	/** One after the other. One that fails keeps no other from its turn, unless the database is away. */
	async function work(): Promise<void> {
		for (const step of steps) {
			await step().catch((error: unknown) => {
				if (isConnectionFault(error)) throw error;
				deps.log.warn("housekeeping.failed", { error });
			});
		}
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
