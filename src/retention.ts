/** What grows is kept for a time, and a flood only up to a number of rows; what goes, goes in short steps. */
import { pruneAlerts } from "./alerts/store.ts";
import { pruneAudit } from "./audit/store.ts";
import type { Deps } from "./deps.ts";
import { attemptsKept, pruneAttempts } from "./enrollment/attempt-store.ts";
import { idFloor } from "./lib/id.ts";

/** How long records are kept. */
export interface Retention {
	/** Enroll attempts, and what the audit says of refused ones. */
	readonly attemptsDays: number;
	/** Attempts at most: past this the oldest go before their time, so that a flood of wrong keys fills no disk. */
	readonly attemptsMax: number;
	/** Everything else in the audit. */
	readonly auditDays: number;
	/** Alerts that somebody has acknowledged; others stay. */
	readonly alertsDays: number;
}

/** Rows of one step: it holds no lock long. */
const stepRows = 1_000;
/** Steps of one table in one turn of the housekeeping, so that a table grown large never keeps the rest of it waiting. */
const stepsMax = 20;
const dayMs = 86_400_000;

/** Repeats a step of pruning until there is no more, or the turn is over. Returns how many rows went. */
export async function inSteps(step: (limit: number) => Promise<number>, rowsMax = stepRows * stepsMax): Promise<number> {
	let gone = 0;
	while (gone < rowsMax) {
		const limit = Math.min(stepRows, rowsMax - gone);
		const count = await step(limit);
		gone += count;
		if (count < limit) break;
	}
	return gone;
}

/** One turn: deletes what has had its time. Several servers may do it at once. */
export async function prune(deps: Pick<Deps, "db" | "clock">, retention: Retention): Promise<void> {
	const { sql } = deps.db;
	const since = (days: number) => deps.clock.now() - days * dayMs;
	const attempts = await inSteps((limit) => pruneAttempts(sql, idFloor("attempt", since(retention.attemptsDays)), limit));
	const excess = (await attemptsKept(sql)) - attempts - retention.attemptsMax;
	if (excess > 0) {
		const now = idFloor("attempt", deps.clock.now());
		await inSteps((limit) => pruneAttempts(sql, now, limit), Math.min(excess, stepRows * stepsMax));
	}
	await inSteps((limit) => pruneAudit(sql, idFloor("audit", since(retention.auditDays)), limit));
	await inSteps((limit) => pruneAlerts(sql, idFloor("alert", since(retention.alertsDays)), limit));
}
