import { expect, test } from "bun:test";
import { testDatabase } from "../support/db.ts";
import { startMuster } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { soon, until } from "../support/until.ts";
import { openWire } from "../support/wire.ts";

const secondsForSlowMachines = 60_000;

test.each(runtimeNames)(
	"a server on %s ends by SIGTERM also while its database is away: else a restart of both hangs until somebody kills it",
	async (runtime) => {
		const database = await testDatabase();
		const wire = await openWire(database.url);
		const server = await startMuster({ runtime, databaseUrl: wire.url });
		try {
			await wire.cut();
			await until("it has noticed", () => server.stderr().includes("db.listen_lost"));
			server.kill("SIGTERM");
			expect(await soon("the server ends", server.ended)).toBe(0);
		} finally {
			server.kill("SIGKILL");
			await server.stop();
			await database.drop();
		}
	},
	secondsForSlowMachines,
);
