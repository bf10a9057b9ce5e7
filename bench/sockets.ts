/** How many heartbeats does one process take over 10,000 sockets, and how fast does one event reach 5,000 subscribers, beside the bare parts? (G7) */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { heartbeatDocument } from "../src/protocol/operations.ts";
import { fingerprint, mintToken, sha256 } from "../src/protocol/token.ts";
import { type RuntimeName, startProgram } from "../tests/support/runtimes.ts";
import { type Figure, median } from "./figures.ts";
import { type BenchDatabase, openMuster, openPostgres, type Progress } from "./stage.ts";

const tenant = "ten_00000000000000000000000000";
const proxied = { MUSTER_TRUSTED_PROXIES: "127.0.0.1/32", MUSTER_STALE_SECONDS: "3600" };

/** A process of socket-client.ts. */
interface Clients {
	ask<T>(command: object): Promise<T>;
	/** Begins to wait for messages; resolves when it does, with the promise of what came. */
	expecting(
		each: number,
	): Promise<{ readonly done: Promise<{ readonly received: number; readonly lastAt: number; readonly cpuSeconds: number }> }>;
	stop(): Promise<void>;
}

function openClients(): Clients {
	const program = spawn(process.execPath, ["--no-env-file", join(import.meta.dirname, "load", "socket-client.ts")], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	const answers: ((line: string) => void)[] = [];
	const ended = new Promise((resolve) => program.once("exit", resolve));
	createInterface({ input: program.stdout }).on("line", (line) => answers.shift()?.(line));
	const next = <T>() => new Promise<T>((resolve) => answers.push((line) => resolve(JSON.parse(line) as T)));
	return {
		ask(command) {
			program.stdin.write(`${JSON.stringify(command)}\n`);
			return next();
		},
		async expecting(each) {
			program.stdin.write(`${JSON.stringify({ do: "expect", each, seconds: 60 })}\n`);
			await next();
			return { done: next() };
		},
		async stop() {
			program.stdin.end();
			await ended;
		},
	};
}

/** Processor time of a process and all of its threads, in microseconds (Linux). */
export function cpuMicros(pid: number): number {
	return readdirSync(`/proc/${pid}/task`)
		.map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1_000)
		.reduce((sum, micros) => sum + micros, 0);
}

/** Resident memory, in bytes (Linux). */
function rss(pid: number): number {
	return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

/** So many active workers with a credential each, put into the tables directly. */
async function seedWorkers({ db }: BenchDatabase, count: number): Promise<{ readonly workerId: string; readonly apiKey: string }[]> {
	const workers = Array.from({ length: count }, (_, index) => {
		const token = mintToken("worker", randomBytes(38));
		return { workerId: `wrk_${String(index).padStart(26, "0")}`, token, hash: sha256(token.secret).toString("hex") };
	});
	const rows = workers.map(({ workerId, token, hash }) => ({
		id: workerId,
		selector: token.selector,
		hash,
		hint: fingerprint(token.secret),
	}));
	const { sql } = db;
	await sql`
		insert into workers (tenant_id, id, name, machine_uid, method, auto_enrolled, state, labels, created_at, enrolled_at)
		select ${tenant}, id, id, 'uid-' || id, 'SITE_KEY', false, 'ACTIVE', '{}', now(), now() from jsonb_to_recordset(${sql.json(rows)}) as r (id text)`;
	await sql`
		insert into hosts (id, tenant_id, name, worker_id, state, last_known_state, created_at)
		select 'host' || substr(id, 4), ${tenant}, id, id, 'MONITORING', 'MONITORING', now() from jsonb_to_recordset(${sql.json(rows)}) as r (id text)`;
	await sql`
		insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at, first_used_at)
		select 'cred' || substr(id, 4), ${tenant}, id, 'enrollment', selector, decode(hash, 'hex'), hint, now(), now()
		from jsonb_to_recordset(${sql.json(rows)}) as r (id text, selector text, hash text, hint text)`;
	await sql`analyze`;
	return workers.map(({ workerId, token }) => ({ workerId, apiKey: token.text }));
}

interface Beats {
	readonly perSecond: number;
	readonly answers: number;
	readonly p99: number;
	readonly cpuShare: number;
}

/** Heartbeats over `count` sockets. */
export async function heartbeats(rounds: number, quick: boolean, progress: Progress): Promise<Figure[]> {
	const count = quick ? 1_000 : 10_000;
	const seconds = quick ? 2 : 4;
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
		for (let round = -1; round < rounds; round++) {
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

/** One event after another to all subscribers, beside Bun's publish of the same bytes to as many sockets. */
export async function fanOut(rounds: number, quick: boolean, progress: Progress): Promise<Figure[]> {
	const figures: Figure[] = [];
	const postgres = await openPostgres();
	for (const count of quick ? [1_000] : [1_000, 5_000]) {
		const database = await postgres.database();
		const server = await openMuster("bun", database.url, proxied);
		const bare = await startProgram("bun", "bench/load/bare-server.ts");
		const [clients, bareClients] = [openClients(), openClients()];
		const logins = Array.from({ length: count }, () => ({ authorization: `Bearer ${server.adminToken}` }));
		const before = rss(server.pid);
		await clients.ask({ do: "open", url: `${server.url.replace("http", "ws")}/graphql`, logins });
		await clients.ask({ do: "subscribe", query: subscription });
		await bareClients.ask({ do: "open", url: `ws://127.0.0.1:${String(bare.hello["port"])}/raw`, logins });
		await bareClients.ask({ do: "subscribe", query: "" });
		await new Promise((resolve) => setTimeout(resolve, 2_000));
		const perSubscriber = (rss(server.pid) - before) / count;
		const text = `{"id":"1","type":"next","payload":{"data":{"enrollmentAttempt":${JSON.stringify({ at: "2027-01-15T08:00:00.000Z", method: "SITE_KEY", accepted: true, outcome: "NEW", sourceAddress: "192.0.2.7", claimedName: "robot-17", machineUid: "uid-17" })}}}}`;
		const [ratios, cpuRatios, ours]: [number[], number[], number[]] = [[], [], []];
		const once = async (who: Clients, pid: number, publish: () => Promise<unknown>, times: number) => {
			const { done } = await who.expecting(times);
			const [cpu, at] = [cpuMicros(pid), Date.now()];
			await publish();
			const { received, lastAt } = await done;
			if (received < count * times) throw new Error(`Of ${count * times} messages ${received} came`);
			return { perSecond: (received / Math.max(1, lastAt - at)) * 1_000, cpu: (cpuMicros(pid) - cpu) / received };
		};
		for (let round = -1; round < rounds; round++) {
			const times = 20;
			const limit = await once(
				bareClients,
				bare.pid,
				() => fetch(`http://127.0.0.1:${String(bare.hello["port"])}`, { method: "POST", body: JSON.stringify({ text, times }) }),
				times,
			);
			const { sql } = database.db;
			const mine = await once(
				clients,
				server.pid,
				() => sql`with made as (insert into events (tenant_id, kind, payload) select ${tenant}, 'attempt', ${sql.json(attempt)} from generate_series(1, ${times}::int) returning id)
					select pg_notify('muster_events', '') from (select count(*) from made) m`,
				times,
			);
			if (round < 0) continue;
			ratios.push(mine.perSecond / limit.perSecond);
			cpuRatios.push(limit.cpu / mine.cpu);
			ours.push(mine.perSecond);
			progress(
				`fan-out to ${count}: round ${round + 1} of ${rounds}, ${mine.perSecond.toFixed(0)} deliveries/s beside ${limit.perSecond.toFixed(0)}`,
			);
		}
		figures.push({
			name: `fan-out to ${count} ÷ raw Bun publish of the same bytes`,
			value: median(ratios),
			...(count === 5_000 ? { bar: 0.7, stretch: 0.95 } : {}),
			detail: { deliveriesPerSecond: median(ours), rssPerSubscribedSocket: perSubscriber, limitCpuOverOurs: median(cpuRatios) },
		});
		figures.push({
			name: `RSS per idle socket with a subscription, of ${count}, KiB`,
			value: perSubscriber / 1_024,
			bar: 16,
			stretch: 4,
			less: true,
		});
		await Promise.all([clients.stop(), bareClients.stop()]);
		await bare.stop();
		await server.stop();
		await database.drop();
	}
	await postgres.stop();
	return figures;
}
