import * as v from "valibot";
import { containerPath } from "./containers.ts";
import { ask, type CallOptions, type Engine } from "./engine.ts";

const statsSchema = v.object({
	read: v.string(),
	cpu_stats: v.object({ cpu_usage: v.object({ total_usage: v.number() }) }),
	memory_stats: v.object({
		usage: v.optional(v.number()),
		limit: v.optional(v.number()),
		stats: v.optional(v.nullable(v.object({ inactive_file: v.optional(v.number()), total_inactive_file: v.optional(v.number()) }))),
	}),
	networks: v.optional(v.nullable(v.record(v.string(), v.object({ rx_bytes: v.number(), tx_bytes: v.number() })))),
});

/** A container's figures at one moment. */
export interface StatsSample {
	/** When, in milliseconds since the epoch. */
	readonly atMs: number;
	/** Processor time since the container started, in nanoseconds; the cores in use are the growth between two samples over the time between them. */
	readonly cpuNanoseconds: number;
	/** Without the file cache that can be given back, as `docker stats` shows it. */
	readonly memoryBytes: number;
	/** 0: unknown. Without a limit it is the host's memory. */
	readonly memoryLimitBytes: number;
	readonly networkReceivedBytes: number;
	readonly networkSentBytes: number;
}

/** A running container's figures now, without the second that Docker waits for a second sample. Rejects with `not_found`. */
export async function containerStats(engine: Engine, container: string, options?: CallOptions): Promise<StatsSample> {
	const query = { stream: "false", "one-shot": "true" };
	const stats = await ask(engine, statsSchema, { path: `${containerPath(container)}/stats`, query }, options);
	const { usage = 0, limit = 0, stats: memory } = stats.memory_stats;
	// Control groups 1 and 2 name it differently.
	const cache = memory?.total_inactive_file ?? memory?.inactive_file ?? 0;
	const networks = Object.values(stats.networks ?? {});
	return {
		atMs: Date.parse(stats.read),
		cpuNanoseconds: stats.cpu_stats.cpu_usage.total_usage,
		memoryBytes: Math.max(0, usage - cache),
		memoryLimitBytes: limit,
		networkReceivedBytes: networks.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
		networkSentBytes: networks.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
	};
}

/** Cores in use between two samples of one container; undefined when the time between them tells nothing, or it was started anew. */
export function coresBetween(former: StatsSample, latter: StatsSample): number | undefined {
	const elapsedMs = latter.atMs - former.atMs;
	const grown = latter.cpuNanoseconds - former.cpuNanoseconds;
	return elapsedMs > 0 && grown >= 0 ? grown / 1e6 / elapsedMs : undefined;
}
