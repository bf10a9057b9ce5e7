/** One measured value, with its labels. */
export interface Sample {
	readonly labels?: Readonly<Record<string, string>>;
	readonly value: number;
}

/** One metric: its name, what it means, and its values; one without values is left out of the page. */
export interface Metric {
	readonly name: string;
	readonly help: string;
	readonly type: "counter" | "gauge";
	readonly samples: readonly Sample[];
}

/** The media type of `renderMetrics`. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Writes metrics in the Prometheus text format 0.0.4. By hand, since the worker has some twenty of them and no histogram: prom-client would bring its
 * cluster and process collectors into every worker.
 */
export function renderMetrics(metrics: readonly Metric[]): string {
	return metrics
		.filter(({ samples }) => samples.length > 0)
		.map(({ name, help, type, samples }) => {
			const lines = samples.map(({ labels, value }) => `${name}${labelText(labels)} ${numberText(value)}\n`);
			return `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n${lines.join("")}`;
		})
		.join("");
}

/** A gauge without labels; an absent value has no sample. */
export function gauge(name: string, help: string, value: number | undefined): Metric {
	return { name, help, type: "gauge", samples: value === undefined ? [] : [{ value }] };
}

/** A counter without labels. */
export function counter(name: string, help: string, value: number): Metric {
	return { name, help, type: "counter", samples: [{ value }] };
}

function labelText(labels: Readonly<Record<string, string>> = {}): string {
	const pairs = Object.entries(labels).map(([name, value]) => `${name}="${quotable(value)}"`);
	return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function quotable(value: string): string {
	return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** JavaScript writes a number as Go reads it, but for the infinite ones. */
function numberText(value: number): string {
	if (value === Number.POSITIVE_INFINITY) return "+Inf";
	return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
