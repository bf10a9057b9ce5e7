import type { CommandKind } from "../src/protocol/commands.ts";
import type { CommandEnd } from "./commands-journal.ts";
import type { Docker } from "./docker.ts";
import type { DockerWatch } from "./docker-watch.ts";
import { counter, gauge, type Metric } from "./metrics-text.ts";
import type { Uplink } from "./uplink.ts";

/** How commands ended, by kind and end. */
export class CommandCounts {
	readonly #counts = new Map<string, { readonly kind: string; readonly end: string; value: number }>();

	/** Counts an end; the kind is null when the command never was of a kind this worker knows. */
	count(kind: CommandKind | null, end: CommandEnd["state"]): void {
		const labels = { kind: kind ?? "unknown", end: end.toLowerCase() };
		const key = JSON.stringify(labels);
		const known = this.#counts.get(key);
		if (known === undefined) this.#counts.set(key, { ...labels, value: 1 });
		else known.value += 1;
	}

	/** One sample for each kind and end that has come about. */
	metric(): Metric {
		return {
			name: "muster_worker_commands_total",
			help: "Commands that ended on this host, by kind and end (succeeded, failed, cancelled)",
			type: "counter",
			samples: [...this.#counts.values()].map(({ kind, end, value }) => ({ labels: { kind, end }, value })),
		};
	}
}

/** Docker's states of a container: each has its series, also where no Docker is. */
const containerStates = ["created", "running", "paused", "restarting", "removing", "exited", "dead"] as const;

/** The metrics about Docker and what is told of it (H16). */
export function dockerMetrics(docker: Docker, watch: DockerWatch, uplink: Uplink, commands: CommandCounts): readonly Metric[] {
	const { events, dropped, containers } = watch.counts;
	return [
		gauge("muster_worker_docker_up", "1 when the Docker Engine answers", docker.state.up ? 1 : 0),
		counter("muster_worker_docker_losses_total", "Times the Docker Engine went away", docker.losses),
		{
			name: "muster_worker_docker_containers",
			help: "Containers by state, as last listed",
			type: "gauge",
			samples: containerStates.map((state) => ({ labels: { state }, value: containers[state] ?? 0 })),
		},
		counter("muster_worker_docker_events_total", "Docker events told to the server, or kept for it", events),
		counter("muster_worker_docker_events_dropped_total", "Docker events dropped since the server was away for too long", dropped),
		counter("muster_worker_reports_failed_total", "Reports about Docker and commands that the server did not take in", uplink.failures),
		commands.metric(),
	];
}
