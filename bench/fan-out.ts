/** How fast does one event reach 5,000 subscribers, beside Bun's own `publish` of the same bytes? One event at a time, a reader that takes nothing among them. (G7) */
import { startProgram } from "../tests/support/runtimes.ts";
import { type RawSocket, rawSocket } from "../tests/conformance/raw-socket.ts";
import { type Figure, median } from "./figures.ts";
import { type Clients, cpuMicros, openClients, proxied, tenant } from "./socket-stage.ts";
import { openMuster, openPostgres, type Progress } from "./stage.ts";

const attempt = {
	kind: "attempt",
	attempt: {
		id: "att_01m7z926am9e7nbkc6fgkxh564",
		tenantId: tenant,
		at: 1_800_000_000_000,
		method: "SITE_KEY",
		accepted: true,
		outcome: "NEW",
		reason: null,
		sourceAddress: "192.0.2.7",
		claimedName: "robot-17",
		hostname: "robot-17",
		machineUid: "uid-17",
		siteId: null,
		hostId: null,
		workerId: null,
		keyId: null,
	},
};
const subscription = "subscription { enrollmentAttempt { at method accepted outcome sourceAddress claimedName machineUid } }";

const shown = {
	at: "2027-01-15T08:00:00.000Z",
	method: "SITE_KEY",
	accepted: true,
	outcome: "NEW",
	sourceAddress: "192.0.2.7",
	claimedName: "robot-17",
	machineUid: "uid-17",
};
const clock = () => performance.timeOrigin + performance.now();

/** When what was published came, in milliseconds. */
interface Arrivals {
	readonly received: number;
	readonly firstAt: number;
	readonly p99At: number;
	readonly lastAt: number;
}

/** One side: who hears, whose processor time counts, how one event is published. */
interface Side {
	readonly clients: Clients;
	readonly pid: number;
	readonly slow: () => Promise<RawSocket>;
	readonly publish: () => Promise<unknown>;
}

interface Round {
	/** Deliveries a second from the first to the last. */
	readonly perSecond: number;
	/** From the moment of publishing. */
	readonly lastMs: number;
	readonly p99Ms: number;
	readonly cpuMicros: number;
}

/** Answers to these fill what the kernel and the server keep for a reader that takes nothing. */
async function stalled(socket: RawSocket): Promise<RawSocket> {
	socket.pause();
	for (let ping = 0; ping < 60; ping++) socket.send({ type: "ping", payload: { text: "x".repeat(100_000) } });
	await new Promise((resolve) => setTimeout(resolve, 500));
	return socket;
}

async function oneRound({ clients, pid, slow, publish }: Side, count: number, events: number): Promise<Round> {
	const reader = await slow();
	let gone = false;
	void reader.ended.then(() => {
		gone = true;
	});
	const cpu = cpuMicros(pid);
	const [rates, lasts, p99s]: [number[], number[], number[]] = [[], [], []];
	for (let event = 0; event < events; event++) {
		const done = await clients.expecting<Arrivals>();
		const at = clock();
		await publish();
		const { received, firstAt, p99At, lastAt } = await done.arrivals;
		if (received < count) throw new Error(`Of ${count} subscribers ${received} got an event`);
		rates.push((count / Math.max(0.01, lastAt - firstAt)) * 1_000);
		lasts.push(lastAt - at);
		p99s.push(p99At - at);
	}
	const spent = (cpuMicros(pid) - cpu) / events / count;
	if (gone) throw new Error("The slow reader was closed before the round was over: there was none among them");
	reader.destroy();
	return { perSecond: median(rates), lastMs: median(lasts), p99Ms: median(p99s), cpuMicros: spent };
}

/** Each subscriber has an operation id of its own, and the next event is published when all have the one before. */
export async function fanOut(quick: boolean, progress: Progress): Promise<Figure[]> {
	const [rounds, events] = quick ? [1, 5] : [7, 20];
	const figures: Figure[] = [];
	const postgres = await openPostgres();
	for (const count of quick ? [1_000] : [1_000, 5_000]) {
		const database = await postgres.database();
		const { sql } = database.db;
		const server = await openMuster("bun", database.url, proxied);
		const bare = await startProgram("bun", "bench/load/bare-server.ts");
		const [clients, bareClients] = [openClients(), openClients()];
		const authorization = `Bearer ${server.adminToken}`;
		const logins = Array.from({ length: count }, () => ({ authorization }));
		progress(`fan-out: ${count} subscribers on either side`);
		await clients.ask({ do: "open", url: `${server.url.replace("http", "ws")}/graphql`, logins });
		await clients.ask({ do: "subscribe", query: subscription });
		const bareUrl = `http://127.0.0.1:${String(bare.hello["port"])}`;
		await bareClients.ask({ do: "open", url: `${bareUrl.replace("http", "ws")}/raw`, logins });
		await bareClients.ask({ do: "subscribe", query: "" });
		await new Promise((resolve) => setTimeout(resolve, quick ? 1_000 : 2_000));
		const text = `{"id":"${crypto.randomUUID()}","type":"next","payload":{"data":{"enrollmentAttempt":${JSON.stringify(shown)}}}}`;
		const ours: Side = {
			clients,
			pid: server.pid,
			async slow() {
				const socket = await rawSocket({ port: Number(new URL(server.url).port) });
				socket.send({ type: "connection_init", payload: { authorization } });
				await socket.next();
				socket.send({ id: crypto.randomUUID(), type: "subscribe", payload: { query: subscription } });
				return stalled(socket);
			},
			publish: () =>
				sql`with made as (insert into events (tenant_id, kind, payload) values (${tenant}, 'attempt', ${sql.json(attempt)}) returning id)
					select pg_notify('muster_events', '') from made`,
		};
		const limit: Side = {
			clients: bareClients,
			pid: bare.pid,
			slow: async () => stalled(await rawSocket({ port: Number(bare.hello["port"]), path: "/raw" })),
			publish: () => fetch(bareUrl, { method: "POST", body: JSON.stringify({ text, times: 1 }) }),
		};
		const pairs: { readonly mine: Round; readonly raw: Round }[] = [];
		for (let round = quick ? 0 : -1; round < rounds; round++) {
			const raw = await oneRound(limit, count, events);
			const mine = await oneRound(ours, count, events);
			if (round >= 0) pairs.push({ mine, raw });
			progress(
				`fan-out to ${count}: round ${round + 1} of ${rounds}, ${mine.perSecond.toFixed(0)} deliveries/s beside ${raw.perSecond.toFixed(0)}`,
			);
		}
		const over = (value: (pair: (typeof pairs)[number]) => number) => median(pairs.map(value));
		figures.push({
			name: `fan-out to ${count} ÷ raw Bun publish of the same bytes`,
			value: over(({ mine, raw }) => mine.perSecond / raw.perSecond),
			...(count === 5_000 ? { bar: 0.7, stretch: 0.95 } : {}),
			detail: {
				deliveriesPerSecond: over(({ mine }) => mine.perSecond),
				p99MsFromCommitAsked: over(({ mine }) => mine.p99Ms),
				publishP99Ms: over(({ raw }) => raw.p99Ms),
				publishOverOursToTheLast: over(({ mine, raw }) => raw.lastMs / mine.lastMs),
				cpuMicrosEach: over(({ mine }) => mine.cpuMicros),
				publishCpuMicrosEach: over(({ raw }) => raw.cpuMicros),
			},
		});
		await Promise.all([clients.stop(), bareClients.stop()]);
		await bare.stop();
		await server.stop();
		await database.drop();
	}
	await postgres.stop();
	return figures;
}
