/** What does a worker that waits for commands cost: its socket, its login, its own command subscription? (G7) */
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { commandsDocument } from "../src/protocol/commands.ts";
import { type Figure, median } from "./figures.ts";
import { openClients, proxied, rss, seedWorkers } from "./socket-stage.ts";
import { openMuster, openPostgres, type Progress } from "./stage.ts";

/** The kernel's word on the resident memory of the server with so many idle workers more, less what it had with the first few. */
export async function workerSockets(quick: boolean, progress: Progress): Promise<Figure[]> {
	const count = quick ? 2_000 : 10_000;
	// What a server takes for having begun to work (code that is compiled, pools that are filled) is no socket's.
	const first = count / 4;
	const postgres = await openPostgres();
	const database = await postgres.database();
	const logins = await seedWorkers(database, first + count);
	const collect = `--preload ${join(import.meta.dirname, "load", "collect.ts")}`;
	const { HEAP_PROFILE } = process.env;
	const server = await openMuster("bun", database.url, {
		...proxied,
		BUN_OPTIONS: collect,
		...(HEAP_PROFILE === undefined ? {} : { HEAP_PROFILE }),
	});
	const [early, late] = [openClients(), openClients()];
	const url = `${server.url.replace("http", "ws")}/graphql`;
	const listening = async (who: typeof early, from: number, to: number) => {
		progress(`worker-sockets: workers ${from} to ${to} log in`);
		await who.ask({ do: "open", url, logins: logins.slice(from, to), query: commandsDocument });
		// Each subscription that has begun has its row.
		for (let there = 0; there < to; ) {
			await wait(200);
			const [row] = await database.db.sql`select count(*)::integer as there from command_streams`;
			there = Number(row?.["there"]);
			progress(`worker-sockets: ${there} of ${to} listen`);
		}
	};
	await listening(early, 0, first);
	await wait(quick ? 1_000 : 10_000);
	const before = rss(server.pid);
	await listening(late, first, first + count);
	const readings: number[] = [];
	for (let reading = 0; reading < (quick ? 3 : 15); reading++) {
		await wait(1_000);
		readings.push((rss(server.pid) - before) / count / 1_024);
	}
	process.kill(server.pid, "SIGUSR2");
	await wait(HEAP_PROFILE !== undefined ? 12_000 : quick ? 2_000 : 5_000);
	const collected = (rss(server.pid) - before) / count / 1_024;
	progress(`worker-sockets: ${median(readings).toFixed(1)} KiB each, ${collected.toFixed(1)} once garbage is collected`);
	await Promise.all([early.stop(), late.stop()]);
	await server.stop();
	await database.drop();
	await postgres.stop();
	return [
		{
			name: `RSS per idle worker socket with its command subscription, of ${count}, Bun, KiB`,
			value: median(readings),
			bar: 16,
			stretch: 4,
			less: true,
			detail: {
				least: Math.min(...readings),
				most: Math.max(...readings),
				collectedKiB: collected,
				beforeMiB: before / 1_048_576,
			},
		},
	];
}
