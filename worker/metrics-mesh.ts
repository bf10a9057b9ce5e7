import { counter, gauge, type Metric } from "./metrics-text.ts";
import type { MeshFigures } from "./mesh-port.ts";

/** The client's states as it names them, and ours for one that does not answer. Each is a series, so that an alert can name what it waits for. */
const states = ["NoState", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running", "Unavailable"] as const;

/** What Prometheus reads of the mesh; nothing for a host that is on none. */
export function meshMetrics(figures: MeshFigures | undefined): readonly Metric[] {
	if (figures === undefined) return [];
	const { state, joined, restarts, lost, failures } = figures;
	return [
		gauge("muster_worker_mesh_joined", "1 when this host is a member of its mesh", joined ? 1 : 0),
		{
			name: "muster_worker_mesh_state",
			help: "1 for the state the mesh client is in",
			type: "gauge",
			samples: states.map((name) => ({ labels: { state: name }, value: name === state ? 1 : 0 })),
		},
		counter("muster_worker_mesh_client_restarts_total", "Times the mesh client ended and was started again", restarts),
		counter("muster_worker_mesh_join_failures_total", "Attempts to join the mesh, or to come back to it, that came to nothing", failures),
		counter("muster_worker_mesh_logins_lost_total", "Times the mesh did not know this host any more", lost),
	];
}
