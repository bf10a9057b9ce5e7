/** Two server processes' pipelines on one database, for a file of races: opened before its tests, closed after them. */
import { afterAll, beforeAll } from "bun:test";
import { type TestDatabase, testDatabase } from "./db.ts";
import { openPipeline, type Pipeline } from "./pipeline.ts";

export interface TwoServers {
	readonly database: TestDatabase;
	readonly left: Pipeline;
	readonly right: Pipeline;
}

/** Registers the opening and closing; `take` gets them once they are there. */
export function twoServers(take: (opened: TwoServers) => void): void {
	let opened: TwoServers;
	beforeAll(async () => {
		const database = await testDatabase();
		const [left, right] = await Promise.all([openPipeline(database.url), openPipeline(database.url)]);
		opened = { database, left, right };
		take(opened);
	});
	afterAll(async () => {
		await Promise.all([opened.left.close(), opened.right.close()]);
		await opened.database.drop();
	});
}
