import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { failureOf } from "../support/failure.ts";
import { type Muster, startMuster } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";

describe.each(runtimeNames)("listening on %s", (runtime) => {
	let database: TestDatabase;
	let first: Muster;
	beforeAll(async () => {
		database = await testDatabase();
		first = await startMuster({ runtime, databaseUrl: database.url });
	});
	afterAll(async () => {
		await first.stop();
		await database.drop();
	});

	test("a second server on a taken port does not start beside the first: it names the address and the variable", async () => {
		const address = new URL(first.url).host;
		const failure = await failureOf(startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_LISTEN: address } }));
		expect(String(failure)).toContain(`Cannot listen on ${address}`);
		expect(String(failure)).toContain("set MUSTER_LISTEN to another address");
	});

	test("a metrics port that another program has is named with its own variable", async () => {
		const other = createServer();
		const port = await new Promise<number>((resolve) => {
			other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
		});
		try {
			const failure = await failureOf(
				startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_METRICS_LISTEN: `127.0.0.1:${port}` } }),
			);
			expect(String(failure)).toContain("set MUSTER_METRICS_LISTEN to another address");
		} finally {
			other.close();
		}
	});
});
