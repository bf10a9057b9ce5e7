import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { fuseFailureSources } from "../fuse/fusion.ts";
import { fuseProviders } from "../hosts/lifecycle.ts";
import { type CommandKind, commandKinds } from "../protocol/commands.ts";
import { enrollmentMethods, outcomes, refusals } from "../protocol/codes.ts";
import { fuseResults, meshBreakers, meshCallResults, meshCalls, meshMints, type Metrics, webhookResults } from "./port.ts";

/** Paths as metrics know them; everything else is `other`, so that a scanner cannot grow the series. */
export const routes = [
	"/",
	"/assets",
	"/graphql",
	"/graphiql",
	"/health/live",
	"/health/ready",
	"/install.sh",
	"/download",
	"other",
] as const;
export type Route = (typeof routes)[number];

/** The domain's metrics, the HTTP ones, and the page a scraper reads. */
export interface MetricsRegistry extends Metrics {
	/** Counts one answered request; the status is counted as its class (`2xx`). */
	readonly httpRequest: (route: Route, status: number) => void;
	/** The Prometheus text format, and its content type. */
	render(): Promise<{ readonly text: string; readonly contentType: string }>;
}

/**
 * Makes the metrics, in a registry of their own. Every label value is of a closed set, and every series whose labels are known
 * is there from the start with 0, so that a rate over a first refusal is right.
 * @param options.process also collect the process's own (memory, CPU, event loop); they hold a timer-free observer. Default true
 */
export function createMetrics(options: { readonly process?: boolean } = {}): MetricsRegistry {
	const registry = new Registry();
	if (options.process ?? true) collectDefaultMetrics({ register: registry });
	const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
		new Counter({ name, help, labelNames, registers: [registry] });
	const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
		new Gauge({ name, help, labelNames, registers: [registry] });

	const attempts = tally(registry, "muster_enroll_attempts_total", "Enrollment attempts by method and outcome, refused ones by reason", [
		"method",
		"outcome",
		"reason",
	]);
	const rejections = counter("muster_enroll_rejections_total", "Refused enrollment attempts by reason", ["reason"]);
	const batch = new Histogram({
		name: "muster_enroll_batch_size",
		help: "Enrollment requests decided in one transaction",
		buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000],
		registers: [registry],
	});
	const argon2 = counter("muster_argon2_verifications_total", "Argon2id verifications run");
	const argon2Queue = gauge("muster_argon2_queue", "Argon2id verifications that wait for a permit");
	const heartbeats = counter("muster_heartbeats_total", "Heartbeats taken in");
	const sockets = gauge("muster_sockets", "Open WebSockets by who holds them", ["kind"]);
	const subscribers = gauge("muster_subscribers", "Open subscriptions");
	const lag = gauge("muster_events_lag_seconds", "Age of the newest event when it was delivered");
	const degraded = counter("muster_degraded_hosts_total", "Hosts that became DEGRADED");
	const webhooks = counter("muster_webhook_attempts_total", "Attempts to send a webhook by what they came to", ["result"]);
	const mints = counter("muster_mesh_mints_total", "Mesh keys asked for by what came of it", ["result"]);
	const meshSeconds = new Histogram({
		name: "muster_mesh_call_seconds",
		help: "Time that calls to the mesh took",
		labelNames: ["call", "result"],
		buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
		registers: [registry],
	});
	const breaker = gauge("muster_mesh_breaker", "1 for what the mesh's circuit breaker is", ["state"]);
	const commands = counter("muster_commands_ended_total", "Commands by kind and how they ended", ["kind", "state"]);
	const queueDepth = gauge("muster_commands_queued", "Commands that no worker was given yet");
	const queueAge = gauge("muster_commands_queued_age_seconds", "How long the oldest of them has waited");
	const outputBytes = counter("muster_command_output_bytes_total", "Bytes of command output taken in");
	const outputWaits = counter("muster_command_output_waits_total", "Chunks of command output that waited for a reader");
	const fuses = counter("muster_fuse_total", "Hosts fused, and ends of fusions by how they came", ["provider", "outcome"]);
	const fuseFailures = counter("muster_fuse_failed_total", "Fusions that failed by whose fault it was", ["source"]);
	const fuseSeconds = new Histogram({
		name: "muster_fuse_duration_seconds",
		help: "How long hosts took to be fused",
		labelNames: ["provider"],
		buckets: [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300],
		registers: [registry],
	});
	const http = tally(registry, "muster_http_requests_total", "HTTP requests answered by route and status class", ["route", "status"]);

	for (const method of enrollmentMethods) {
		for (const outcome of [...outcomes, "PENDING"]) attempts([method, outcome, ""], 0);
		for (const reason of refusals) attempts([method, "REFUSED", reason], 0);
	}
	for (const reason of refusals) rejections.inc({ reason }, 0);
	for (const route of routes) for (const status of ["2xx", "3xx", "4xx", "5xx"]) http([route, status], 0);
	for (const result of webhookResults) webhooks.inc({ result }, 0);
	for (const result of meshMints) mints.inc({ result }, 0);
	for (const call of meshCalls) for (const result of meshCallResults) meshSeconds.zero({ call, result });
	for (const state of meshBreakers) breaker.set({ state }, state === "closed" ? 1 : 0);
	for (const kind of Object.keys(commandKinds) as CommandKind[])
		for (const state of ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"]) commands.inc({ kind, state }, 0);
	for (const provider of fuseProviders) for (const outcome of fuseResults) fuses.inc({ provider, outcome: outcome.toLowerCase() }, 0);
	for (const source of fuseFailureSources) fuseFailures.inc({ source }, 0);
	for (const kind of ["worker", "operator"]) sockets.set({ kind }, 0);

	return {
		enrollAttempt: (method, outcome) => attempts([method, outcome, ""], 1),
		enrollRejection(method, reason) {
			attempts([method, "REFUSED", reason], 1);
			rejections.inc({ reason });
		},
		enrollBatch: (size) => batch.observe(size),
		argon2Verification: () => argon2.inc(),
		argon2Waiting: (count) => argon2Queue.set(count),
		heartbeats: (count) => heartbeats.inc(count),
		sockets: (kind, change) => sockets.inc({ kind }, change),
		subscribers: (change) => subscribers.inc(change),
		eventLag: (seconds) => lag.set(seconds),
		hostsDegraded: (count) => degraded.inc(count),
		webhookAttempt: (result) => webhooks.inc({ result }),
		meshCall: (call, result, seconds) => meshSeconds.observe({ call, result }, seconds),
		meshMint: (result) => mints.inc({ result }),
		meshBreaker(now) {
			for (const state of meshBreakers) breaker.set({ state }, state === now ? 1 : 0);
		},
		commandEnded: (kind, state) => commands.inc({ kind, state }),
		commandQueue(depth, ageSeconds) {
			queueDepth.set(depth);
			queueAge.set(ageSeconds);
		},
		commandOutput: (bytes) => outputBytes.inc(bytes),
		commandOutputWait: () => outputWaits.inc(),
		fuse: (provider, outcome) => fuses.inc({ provider, outcome: outcome.toLowerCase() }),
		fuseFailed: (source) => fuseFailures.inc({ source }),
		fuseSeconds: (provider, seconds) => fuseSeconds.observe({ provider }, seconds),
		httpRequest: (route, status) => http([route, `${Math.trunc(status / 100)}xx`], 1),
		render: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
	};
}

/** A counter for what happens thousands of times a second: counts by label values in a map of its own, since the library hashes labels at each `inc`. */
function tally(
	registry: Registry,
	name: string,
	help: string,
	labelNames: readonly string[],
): (values: readonly string[], by: number) => void {
	const waiting = new Map<string, { readonly values: readonly string[]; by: number }>();
	new Counter({
		name,
		help,
		labelNames,
		registers: [registry],
		collect() {
			for (const { values, by } of waiting.values())
				this.inc(Object.fromEntries(labelNames.map((label, at) => [label, values[at] ?? ""])), by);
			waiting.clear();
		},
	});
	return (values, by) => {
		const key = values.join(" ");
		const known = waiting.get(key);
		if (known === undefined) waiting.set(key, { values, by });
		else known.by += by;
	};
}
