/** What the timed work of a server does when a part of it cannot be done. */
import { expect, test } from "bun:test";
import { startHousekeeping } from "../../src/housekeeping.ts";
import { testDatabase } from "../support/db.ts";
import { openPipeline, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";

test("a table that cannot be pruned keeps nothing else from being seen to, and is named in the log (S7)", async () => {
	const database = await testDatabase();
	const pipeline = await openPipeline(database.url);
	const { deps, enroller, logged } = pipeline;
	await enroller.enroll({}, "192.0.2.1");
	await database.db.sql`alter table host_events rename to host_events_away`;
	const settings = { ...deps.settings, staleSeconds: 1 };
	const stop = startHousekeeping({ ...deps, settings }, { attemptsDays: 0, attemptsMax: 1_000, auditDays: 1, alertsDays: 1 });
	try {
		await until("the attempt is gone", async () => (await rowCount(database.db, "attempts", "true")) === 0);
		expect(logged.some((line) => line.startsWith("housekeeping.failed") && line.includes("host_events"))).toBe(true);
	} finally {
		await stop();
		await pipeline.close();
		await database.drop();
	}
});
