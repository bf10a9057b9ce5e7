/** Do 200 workers of the real binary come back from a server restart, a PostgreSQL restart and minutes of flapping network, none of them lost, spread in time? (G5, S9) */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Embedded, startEmbedded } from "../src/db/embedded.ts";
import { removeDataDir } from "../src/db/embedded-files.ts";
import { silentLog } from "../src/lib/log.ts";
import { asAdmin, type Muster, startMuster, temporaryDataDir } from "../tests/support/muster.ts";
import { Machine, type RunningWorker, runWorker } from "../tests/worker/support.ts";

/** What the run came to. */
export interface Flapping {
	readonly workers: number;
	readonly flappingMinutes: number;
	/** Seconds after the restarted server was up, and how many workers came back in each. */
	readonly reconnectsAfterServerRestart: Readonly<Record<string, number>>;
	readonly secondsToAllAfterServerRestart: number;
	readonly secondsToAllAfterPostgresRestart: number;
	readonly secondsToAllAfterFlapping: number;
	/** Cuts of the network, and sockets cut by them. */
	readonly cuts: number;
	readonly socketsCut: number;
	/** Of the whole run: one a worker when none enrolled again. */
	readonly enrollAttempts: number;
	readonly keysChanged: number;
	readonly workersEnded: number;
}

const secret = "the auto-enrollment secret of the flapping bench";
const heartbeatSeconds = 5;

/** Runs it. Needs about 50 MB of memory a worker. */
export async function flapping(workers: number, minutes: number, progress: (text: string) => void): Promise<Flapping> {
	const databaseDir = await temporaryDataDir();
	let postgres: Embedded = await startEmbedded({ dataDir: databaseDir, log: silentLog });
	const url = postgres.url.reveal();
	let server = await startServer(url, "127.0.0.1:0");
	const listen = new URL(server.url).host;
	const net = await openNet(Number(new URL(server.url).port));
	const fleet: { readonly machine: Machine; readonly worker: RunningWorker }[] = [];
	try {
		await asAdmin(
			server,
			"mutation ($i: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $i) { autoEnrollment { enabled } } }",
			{
				i: { enabled: true, enrollmentSecret: secret },
			},
		);
		for (let index = 0; index < workers; index++) {
			const machine = new Machine();
			const name = `flap-${index}`;
			fleet.push({
				machine,
				worker: await runWorker(machine, [], { MUSTER_URL: net.url, MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_WORKER_NAME: name }),
			});
		}
		await allHeard(() => server, workers, Date.now(), progress, "first heartbeats");
		const keys = fleet.map(({ machine }) => keyOf(machine));

		server.kill("SIGTERM");
		await server.ended;
		server = await startServer(url, listen);
		const serverUp = Date.now();
		const secondsToAllAfterServerRestart = await allHeard(() => server, workers, serverUp, progress, "back after the server's restart");
		const returns = fleet.flatMap(({ worker }) => connectedAfter(worker, serverUp).slice(0, 1));

		await postgres.stop();
		await wait(3_000);
		postgres = await startEmbedded({ dataDir: databaseDir, log: silentLog });
		const secondsToAllAfterPostgresRestart = await allHeard(() => server, workers, Date.now(), progress, "back after PostgreSQL's restart");

		const end = Date.now() + minutes * 60_000;
		let cuts = 0;
		while (Date.now() < end) {
			await wait(5_000 + Math.random() * 15_000);
			const awayMs = Math.random() < 0.5 ? 0 : 1_000 + Math.random() * 7_000;
			await net.cut(Math.random() < 0.5 ? 1 : Math.random(), awayMs);
			cuts++;
			progress(`flapping: ${cuts} cuts, ${Math.max(0, Math.round((end - Date.now()) / 1_000))} s left`);
		}
		const secondsToAllAfterFlapping = await allHeard(() => server, workers, Date.now(), progress, "back after the flapping");
		const { enrollmentAttempts } = await asAdmin(server, "{ enrollmentAttempts { totalCount } }");
		return {
			workers,
			flappingMinutes: minutes,
			reconnectsAfterServerRestart: histogram(returns.map((at) => Math.max(0, at - serverUp))),
			secondsToAllAfterServerRestart,
			secondsToAllAfterPostgresRestart,
			secondsToAllAfterFlapping,
			cuts,
			socketsCut: net.socketsCut(),
			enrollAttempts: enrollmentAttempts.totalCount,
			keysChanged: fleet.filter(({ machine }, index) => keyOf(machine) !== keys[index]).length,
			workersEnded: fleet.filter(({ worker }) => worker.child.exitCode !== null || worker.child.signalCode !== null).length,
		};
	} finally {
		await Promise.all(fleet.map(({ worker }) => worker[Symbol.asyncDispose]()));
		for (const { machine } of fleet) machine[Symbol.dispose]();
		await net.close();
		await server.stop();
		await postgres.stop();
		await removeDataDir(databaseDir);
		await rm(dirname(databaseDir), { recursive: true, force: true });
	}
}

function startServer(databaseUrl: string, listen: string): Promise<Muster> {
	const env = {
		MUSTER_LISTEN: listen,
		MUSTER_HEARTBEAT_SECONDS: String(heartbeatSeconds),
		MUSTER_STALE_SECONDS: "60",
		MUSTER_LOG_LEVEL: "error",
	};
	return startMuster({ databaseUrl, env });
}

interface Page {
	readonly workers: {
		readonly nodes: readonly { readonly lastHeartbeatAt: string | null }[];
		readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
	};
}

/** Waits until every worker was heard after `since`; the seconds that took. */
async function allHeard(
	server: () => Muster,
	workers: number,
	since: number,
	progress: (text: string) => void,
	what: string,
): Promise<number> {
	for (;;) {
		let heard = 0;
		for (let after: string | null = null; ; ) {
			const query =
				"query ($after: String) { workers(first: 200, after: $after) { nodes { lastHeartbeatAt } pageInfo { hasNextPage endCursor } } }";
			const reply: Page | undefined = await asAdmin(server(), query, { after }).catch(() => undefined);
			if (reply === undefined) break;
			heard += reply.workers.nodes.filter(
				(node: { lastHeartbeatAt: string | null }) => Date.parse(node.lastHeartbeatAt ?? "") > since,
			).length;
			if (!reply.workers.pageInfo.hasNextPage) break;
			after = reply.workers.pageInfo.endCursor;
		}
		progress(`${what}: ${heard} of ${workers} after ${((Date.now() - since) / 1_000).toFixed(0)} s`);
		if (heard >= workers) return (Date.now() - since) / 1_000;
		if (Date.now() - since > 600_000) throw new Error(`${what}: only ${heard} of ${workers} within ten minutes`);
		await wait(500);
	}
}

function connectedAfter(worker: RunningWorker, since: number): number[] {
	return worker.lines.flatMap((line) => {
		const stamp = line["@timestamp"];
		const at = typeof stamp === "string" ? Date.parse(stamp) : Number.NaN;
		return line.message === "worker.connected" && at >= since ? [at] : [];
	});
}

function histogram(ms: readonly number[]): Record<string, number> {
	const counts = new Map<number, number>();
	for (const one of ms) counts.set(Math.floor(one / 1_000), (counts.get(Math.floor(one / 1_000)) ?? 0) + 1);
	return Object.fromEntries([...counts].sort(([left], [right]) => left - right).map(([second, count]) => [`${second} s`, count]));
}

function keyOf(machine: Machine): string {
	return createHash("sha256").update(machine.read(".MUSTER_WORKER_API_KEY")).update(machine.read(".MUSTER_WORKER_ID")).digest("hex");
}

/** A network between workers and server that can be cut. */
async function openNet(serverPort: number) {
	const pairs = new Set<Socket>();
	let cutCount = 0;
	let server: Server = serve(0);
	await listening(server);
	const { port } = server.address() as AddressInfo;

	function serve(at: number): Server {
		return createServer((near) => {
			const far = connect(serverPort, "127.0.0.1");
			pairs.add(near);
			near.on("error", () => far.destroy());
			far.on("error", () => near.destroy());
			near.on("close", () => {
				pairs.delete(near);
				far.destroy();
			});
			far.on("close", () => near.destroy());
			near.pipe(far).pipe(near);
		}).listen(at, "127.0.0.1");
	}

	return {
		url: `http://127.0.0.1:${port}`,
		socketsCut: () => cutCount,
		/** Cuts this part of the connections, and refuses new ones for so long. */
		async cut(part: number, awayMs: number): Promise<void> {
			if (awayMs > 0) server.close();
			for (const socket of pairs) {
				if (Math.random() >= part) continue;
				socket.destroy();
				cutCount++;
			}
			if (awayMs === 0) return;
			await wait(awayMs);
			server = serve(port);
			await listening(server);
		},
		async close(): Promise<void> {
			for (const socket of pairs) socket.destroy();
			server.close();
		},
	};
}

function listening(server: Server): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("listening", resolve);
		server.once("error", reject);
	});
}
