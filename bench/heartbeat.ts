/** How many heartbeats does one process take over 10,000 sockets, beside bare graphql-ws over as many? (G7) */
import { heartbeatDocument } from "../src/protocol/operations.ts";
import { type RuntimeName, startProgram } from "../tests/support/runtimes.ts";
import { type Figure, median } from "./figures.ts";
import { cpuMicros, openClients, proxied, rss, seedWorkers } from "./socket-stage.ts";
import { openMuster, openPostgres, type Progress } from "./stage.ts";

interface Beats {
	readonly perSecond: number;
	readonly answers: number;
	readonly p99: number;
	readonly cpuShare: number;
}

/** Heartbeats over `count` sockets. */
export async function heartbeats(rounds: number, quick: boolean, progress: Progress): Promise<Figure[]> {
	const count = quick ? 1_000 : 10_000;
	const seconds = quick ? 1 : 4;
	const postgres = await openPostgres();
	const database = await postgres.database();
	const logins = await seedWorkers(database, count);
	const bare = await startProgram("bun", "bench/load/bare-server.ts");
	const figures: Figure[] = [];
	const bareClients = openClients();
	const bareRss = rss(bare.pid);
	await bareClients.ask({ do: "open", url: `ws://127.0.0.1:${String(bare.hello["port"])}/graphql`, logins });
	const bareSocket = (rss(bare.pid) - bareRss) / count;
	for (const runtime of ["bun", "deno"] satisfies RuntimeName[]) {
		const server = await openMuster(runtime, database.url, proxied);
		const clients = openClients();
		const before = rss(server.pid);
		progress(`heartbeat: ${count} sockets on ${runtime}`);
		await clients.ask({ do: "open", url: `${server.url.replace("http", "ws")}/graphql`, logins });
		const idle = (rss(server.pid) - before) / count;
		const [ours, limits, cpu, waits]: [number[], number[], number[], number[]] = [[], [], [], []];
		const wal = async () => (await database.db.sql`select wal_bytes::float8 as bytes from pg_stat_wal`)[0]?.["bytes"] as number;
		let walPerBeat = 0;
		for (let round = quick ? 0 : -1; round < rounds; round++) {
			const limit = await bareClients.ask<Beats>({ do: "beat", query: heartbeatDocument, seconds });
			const [cpuBefore, walBefore] = [cpuMicros(server.pid), await wal()];
			const beats = await clients.ask<Beats>({ do: "beat", query: heartbeatDocument, seconds });
			if (round < 0) continue;
			ours.push(beats.perSecond);
			limits.push(limit.perSecond);
			waits.push(beats.p99);
			cpu.push((cpuMicros(server.pid) - cpuBefore) / beats.answers);
			walPerBeat = ((await wal()) - walBefore) / beats.answers;
			progress(
				`heartbeat on ${runtime}: round ${round + 1} of ${rounds}, ${beats.perSecond.toFixed(0)}/s beside ${limit.perSecond.toFixed(0)}/s`,
			);
		}
		figures.push({
			name: `heartbeats/s over ${count} sockets on ${runtime} ÷ bare graphql-ws on Bun`,
			value: median(ours.map((value, index) => value / (limits[index] ?? Number.NaN))),
			...(runtime === "bun" ? { bar: 0.5, stretch: 0.8 } : {}),
			detail: {
				perSecond: median(ours),
				p99Ms: median(waits),
				cpuMicrosEach: median(cpu),
				walBytesEach: walPerBeat,
				rssPerSocket: idle,
				bareRssPerSocket: bareSocket,
			},
		});
		await clients.stop();
		await server.stop();
	}
	await bareClients.stop();
	await bare.stop();
	await database.drop();
	await postgres.stop();
	return figures;
}
