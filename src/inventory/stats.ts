import * as v from "valibot";
import type { WorkerPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { hostsOfWorkers } from "../hosts/store.ts";
import { parseInput } from "../input.ts";
import { minuteFilter } from "../workers/vitals.ts";
import type { ContainerStats } from "./inventory.ts";
import { containersMax, noHost } from "./reports.ts";
import { writeStats } from "./stats-store.ts";

const figure = v.pipe(v.number(), v.finite("must be a finite number"), v.minValue(0, "must not be negative"));
const schema = v.object({
	containers: v.pipe(
		v.array(
			v.object({
				containerId: v.pipe(v.string(), v.minLength(1, "must not be empty"), v.maxLength(255, "must have at most 255 characters")),
				cpuCores: figure,
				memoryBytes: figure,
				memoryLimitBytes: v.optional(v.nullable(figure), null),
				networkReceivedBytes: figure,
				networkSentBytes: figure,
			}),
		),
		v.maxLength(containersMax, `has more than ${containersMax} containers, the most that is taken`),
	),
});

/** Takes workers' figures of their containers. */
export interface ContainerStatsKeeper {
	/**
	 * Keeps the first report of a worker in each minute, for an hour; others cost nothing. Figures of containers that are not in the host's inventory are
	 * dropped. Returns the server's time. BAD_USER_INPUT names what cannot be stored, CONFLICT when the worker has no host.
	 */
	report(worker: WorkerPrincipal, raw: unknown): Promise<number>;
}

/** Makes the keeper of one server process, which remembers whose minute has its figures. */
export function containerStatsKeeper(deps: Pick<Deps, "db" | "clock">): ContainerStatsKeeper {
	const isFirst = minuteFilter();
	return {
		async report(worker, raw) {
			const { containers } = parseInput("take the containers' figures", schema, raw);
			const { tenantId, workerId } = worker;
			const at = deps.clock.now();
			if (containers.length === 0 || !isFirst(`${tenantId}\n${workerId}`, at)) return at;
			const [host] = await hostsOfWorkers(deps.db.sql, tenantId, [workerId]);
			if (host === undefined) throw noHost(worker);
			const points = containers.map((one): ContainerStats => ({ ...one, hostId: host.id, at }));
			// What is listed twice is written once: an upsert cannot touch a row twice.
			await writeStats(deps.db.sql, tenantId, [...new Map(points.map((point) => [point.containerId, point])).values()]);
			return at;
		},
	};
}
