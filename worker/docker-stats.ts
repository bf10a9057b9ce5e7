import type { ContainerSummary } from "../src/engine/containers.ts";
import { containerStats, coresBetween, type StatsSample } from "../src/engine/stats.ts";
import type { ContainerStatsReport } from "../src/protocol/commands.ts";
import type { Docker } from "./docker.ts";
import type { Uplink } from "./uplink.ts";

/** What the figures need. */
export interface StatsDeps {
	readonly docker: Docker;
	readonly uplink: Uplink;
	readonly running: () => readonly ContainerSummary[];
}

/** The running containers' figures. */
export interface DockerStats {
	/** Takes a sample of each and reports; does nothing while the last such round is under way. Never rejects. */
	sample(): Promise<void>;
	stop(): void;
}

/** At once, so that a host with hundreds of containers is not kept busy by the question. */
const besideEachOther = 4;
const containersMax = 500;
const sampleMs = 10_000;

/** Figures need two samples of a container: it is reported from the second round on. */
export function dockerStats(deps: StatsDeps): DockerStats {
	const ending = new AbortController();
	let former = new Map<string, StatsSample>();
	let busy = false;

	async function round(): Promise<void> {
		const { docker, uplink } = deps;
		if (!docker.state.up || uplink.socket === undefined) return;
		const ids = deps
			.running()
			.slice(0, containersMax)
			.map(({ Id }) => Id);
		if (ids.length === 0) return;
		const { engine, info } = await docker.connect(ending.signal);
		const latter = new Map<string, StatsSample>();
		const open = [...ids];
		async function work(): Promise<void> {
			for (let id = open.shift(); id !== undefined; id = open.shift()) {
				const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(sampleMs)]);
				// One that is gone meanwhile has no figures.
				const sample = await containerStats(engine, id, { signal }).catch(() => undefined);
				if (sample !== undefined) latter.set(id, sample);
			}
		}
		await Promise.all(Array.from({ length: besideEachOther }, work));
		const reports = [...latter].flatMap(([id, sample]) => statsReport(id, former.get(id), sample, info.memoryBytes));
		former = latter;
		if (reports.length > 0) await uplink.reportStats(reports);
	}

	return {
		async sample() {
			if (busy) return;
			busy = true;
			await round().catch(() => {});
			busy = false;
		},
		stop: () => ending.abort(),
	};
}

/** One container's figures between two samples, or none. Pure. */
export function statsReport(
	containerId: string,
	former: StatsSample | undefined,
	latter: StatsSample,
	hostMemoryBytes: number,
): readonly ContainerStatsReport[] {
	const cpuCores = former === undefined ? undefined : coresBetween(former, latter);
	if (cpuCores === undefined) return [];
	const { memoryBytes, memoryLimitBytes, networkReceivedBytes, networkSentBytes } = latter;
	// Without a limit Docker says the host's memory.
	const limited = memoryLimitBytes > 0 && (hostMemoryBytes === 0 || memoryLimitBytes < hostMemoryBytes);
	return [
		{ containerId, cpuCores, memoryBytes, memoryLimitBytes: limited ? memoryLimitBytes : null, networkReceivedBytes, networkSentBytes },
	];
}
