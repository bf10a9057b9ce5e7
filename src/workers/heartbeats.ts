import { clearTimeout, setTimeout } from "node:timers";
import type { WorkerPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { recoverHosts } from "../hosts/hosts.ts";
import { boundedMap } from "../lib/bounded-map.ts";
import { type MeshReportRow, writeReports } from "../mesh/report-store.ts";
import { type BeatRow, writeHeartbeats } from "./store.ts";
import { minuteFilter } from "./vitals.ts";
import { type NotedVersion, noteVersions, writeVitals } from "./vitals-store.ts";

/** What a worker says of itself in a heartbeat; all of it optional. */
export interface BeatInput {
	readonly bootId?: string | null | undefined;
	readonly sequence?: number | null | undefined;
	readonly load1?: number | null | undefined;
	readonly memoryUsedBytes?: number | null | undefined;
	readonly uptimeSeconds?: number | null | undefined;
	/** The worker's own version. */
	readonly version?: string | null | undefined;
	/** What its mesh client says; left out by a worker that has none. */
	readonly mesh?: MeshReport | null | undefined;
}

/** A worker's place on the mesh, as it sees it itself. */
export interface MeshReport {
	/** The client's own word, for example Running or NeedsLogin. */
	readonly state: string;
	/** Its addresses on the mesh, the one to be reached at first. */
	readonly addresses: readonly string[];
	readonly nodeName?: string | null | undefined;
}

/** Gathers heartbeats in memory and writes them in bulk: no heartbeat costs a transaction. */
export interface Heartbeats {
	/** Takes a beat; it is written and published within `flushMs`. A worker's newer beat replaces its unwritten older one. Never waits. */
	beat(worker: WorkerPrincipal, input: BeatInput): { readonly at: number };
	/** Writes what is gathered and stops. */
	close(): Promise<void>;
}

/** A few times a second: late enough to gather, early enough to watch live. */
const flushMs = 250;
/** Timers starve under load, so a full gathering is written at once. */
const flushCount = 2_000;
/** Beats kept while the database is away; beyond it the oldest workers' beats are dropped, they come again. */
const gatheredMax = 200_000;
/** Workers whose version is remembered; one that is forgotten costs a write that changes nothing. */
const versionsMax = 100_000;

interface Gathered {
	readonly worker: WorkerPrincipal;
	readonly row: BeatRow;
	readonly version: string | null;
	readonly mesh: MeshReportRow | null;
}

/** Opens the gatherer of one server process. */
export function openHeartbeats(deps: Pick<Deps, "db" | "bus" | "clock" | "mintId" | "log" | "metrics">): Heartbeats {
	let gathered = new Map<string, Gathered>();
	const isFirst = minuteFilter();
	const versions = boundedMap<string>(versionsMax);
	const reports = boundedMap<string>(versionsMax);

	/** The version a worker says, when this process has not heard it from it before. */
	function newVersion({ worker, version }: Gathered): NotedVersion[] {
		const key = `${worker.tenantId}\n${worker.workerId}`;
		if (version === null || versions.get(key) === version) return [];
		versions.set(key, version);
		return [{ tenantId: worker.tenantId, workerId: worker.workerId, version }];
	}

	/** What a worker says of the mesh, when it says something else than before, or a minute has passed: another server may have heard it since. */
	function newReport({ worker, mesh }: Gathered): MeshReportRow[] {
		if (mesh === null) return [];
		const key = `${worker.tenantId}\n${worker.workerId}`;
		const { at, ...said } = mesh;
		const text = `${Math.floor(at / 60_000)} ${JSON.stringify(said)}`;
		if (reports.get(key) === text) return [];
		reports.set(key, text);
		return [mesh];
	}
	let timer: ReturnType<typeof setTimeout> | undefined;
	let flushing: Promise<void> | undefined;
	let closed = false;

	async function flush(): Promise<void> {
		const batch = gathered;
		gathered = new Map();
		if (batch.size === 0) return;
		const beats = [...batch.values()];
		try {
			const degraded = await writeHeartbeats(
				deps.db.sql,
				beats.map(({ row }) => row),
			);
			if (degraded.length > 0) await recoverHosts(deps, degraded);
			await writeReports(deps.db.sql, beats.flatMap(newReport));
			await noteVersions(deps.db.sql, beats.flatMap(newVersion));
			const firstOfMinute = beats.filter(
				({ worker, row }) => saysAnything(row) && isFirst(`${worker.tenantId}\n${worker.workerId}`, row.at),
			);
			await writeVitals(
				deps.db.sql,
				firstOfMinute.map(({ row }) => row),
			);
			deps.metrics.heartbeats(beats.length);
			await deps.bus.publishHeartbeats(beats.map(signal));
		} catch (error) {
			deps.log.warn("heartbeats.write_failed", { count: beats.length, error });
			// Put back what was not replaced meanwhile, so that an outage of the database loses no worker's last beat.
			for (const [key, one] of batch) if (!gathered.has(key) && gathered.size < gatheredMax) gathered.set(key, one);
		}
	}

	function schedule(delayMs: number): void {
		if (timer !== undefined || flushing !== undefined || closed) return;
		timer = setTimeout(() => {
			timer = undefined;
			flushing = flush().finally(() => {
				flushing = undefined;
				if (gathered.size > 0) schedule(gathered.size >= flushCount ? 0 : flushMs);
			});
		}, delayMs);
	}

	return {
		beat(worker, input) {
			const at = deps.clock.now();
			const key = `${worker.tenantId}\n${worker.workerId}`;
			if (gathered.has(key) || gathered.size < gatheredMax)
				gathered.set(key, { worker, row: rowOf(worker, input, at), version: input.version ?? null, mesh: reportOf(worker, input, at) });
			if (gathered.size === flushCount && timer !== undefined) {
				clearTimeout(timer);
				timer = undefined;
			}
			schedule(gathered.size >= flushCount ? 0 : flushMs);
			return { at };
		},
		async close() {
			closed = true;
			if (timer !== undefined) clearTimeout(timer);
			await flushing;
			await flush();
		},
	};
}

/** Whether a beat has a figure to keep. */
function saysAnything({ bootId, load1, memoryUsedBytes, uptimeSeconds }: BeatRow): boolean {
	return [bootId, load1, memoryUsedBytes, uptimeSeconds].some((figure) => figure !== null);
}

function rowOf(worker: WorkerPrincipal, input: BeatInput, at: number): BeatRow {
	return {
		tenantId: worker.tenantId,
		workerId: worker.workerId,
		at,
		bootId: input.bootId ?? null,
		sequence: input.sequence ?? null,
		load1: input.load1 ?? null,
		memoryUsedBytes: input.memoryUsedBytes ?? null,
		uptimeSeconds: input.uptimeSeconds ?? null,
	};
}

function reportOf({ tenantId, workerId }: WorkerPrincipal, { mesh }: BeatInput, at: number): MeshReportRow | null {
	if (mesh == null) return null;
	return { tenantId, workerId, at, state: mesh.state, addresses: mesh.addresses, nodeName: mesh.nodeName ?? null };
}

function signal({ worker, row }: Gathered) {
	const { load1, memoryUsedBytes, uptimeSeconds, at } = row;
	return {
		tenantId: worker.tenantId,
		workerId: worker.workerId,
		hostId: worker.hostId,
		siteId: worker.siteId,
		name: worker.name,
		at,
		load1,
		memoryUsedBytes,
		uptimeSeconds,
	};
}
