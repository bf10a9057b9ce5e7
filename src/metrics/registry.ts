import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { enrollmentMethods, outcomes, refusals } from "../protocol/codes.ts";
import { type Metrics, webhookResults } from "./port.ts";

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

	const attempts = counter("muster_enroll_attempts_total", "Enrollment attempts by method and outcome, refused ones by reason", [
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
	const http = counter("muster_http_requests_total", "HTTP requests answered by route and status class", ["route", "status"]);

	for (const method of enrollmentMethods) {
		for (const outcome of [...outcomes, "PENDING"]) attempts.inc({ method, outcome, reason: "" }, 0);
		for (const reason of refusals) attempts.inc({ method, outcome: "REFUSED", reason }, 0);
	}
	for (const reason of refusals) rejections.inc({ reason }, 0);
	for (const result of webhookResults) webhooks.inc({ result }, 0);
	for (const kind of ["worker", "operator"]) sockets.set({ kind }, 0);

	return {
		enrollAttempt: (method, outcome) => attempts.inc({ method, outcome, reason: "" }),
		enrollRejection(method, reason) {
			attempts.inc({ method, outcome: "REFUSED", reason });
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
		httpRequest: (route, status) => http.inc({ route, status: `${Math.trunc(status / 100)}xx` }),
		render: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
	};
}
