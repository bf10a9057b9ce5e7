/** What somebody on call imports: every panel and rule names metrics, labels and label values that a running server and worker have. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";
import { root, runtimeNames } from "../support/runtimes.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { Fleet, soon, testMs } from "./support.ts";

const dashboardShape = v.object({
	panels: v.array(v.object({ title: v.string(), type: v.string(), targets: v.optional(v.array(v.object({ expr: v.string() })), []) })),
});
const rulesShape = v.object({
	groups: v.array(
		v.object({
			rules: v.array(
				v.object({
					alert: v.string(),
					expr: v.string(),
					for: v.string(),
					labels: v.object({ severity: v.picklist(["warning", "critical"]) }),
					annotations: v.object({ summary: v.string(), description: v.string() }),
				}),
			),
		}),
	),
});
/** What Prometheus itself adds. */
const ofPrometheus = { names: ["up"], labels: ["job", "instance"] };

/** Every expression, with whose it is. */
function expressions(): readonly (readonly [string, string])[] {
	const text = (name: string) => readFileSync(join(root, "ops", name), "utf8");
	const { panels } = v.parse(dashboardShape, JSON.parse(text("grafana-dashboard.json")));
	const { groups } = v.parse(rulesShape, parse(text("prometheus-alerts.yaml")));
	return [
		...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const)),
		...groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => [alert, expr] as const)),
	];
}

/** The names an expression reads, each with its matchers `label op value`. */
function selectors(expr: string): readonly { readonly name: string; readonly matchers: readonly (readonly [string, string])[] }[] {
	return [...expr.matchAll(/\b((?:muster|process|nodejs)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?/g)].map(([, name = "", inside = ""]) => ({
		name,
		matchers: [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)].map(([, label = "", value = ""]) => [label, value] as const),
	}));
}

/** What is wrong with an expression, against the text of metrics pages. */
function faults(expr: string, metrics: string): readonly string[] {
	const found = selectors(expr);
	if (found.length === 0) return ["it reads no metric"];
	return found.flatMap(({ name, matchers }) => {
		if (ofPrometheus.names.includes(name)) return [];
		if (
			!new RegExp(`^# TYPE ${name.replace(/_(bucket|sum|count)$/, "")} `, "m").test(metrics) &&
			!new RegExp(`^# TYPE ${name} `, "m").test(metrics)
		)
			return [`there is no ${name}`];
		const series = metrics.split("\n").filter((line) => line.startsWith(`${name}{`));
		return matchers
			.filter(([label]) => !ofPrometheus.labels.includes(label))
			.flatMap(([label, value]) =>
				value
					.split("|")
					.filter((one) => !series.some((line) => line.includes(`${label}="${one}"`)))
					.map((one) => `${name} has no ${label}="${one}"`),
			);
	});
}

test("H18: an expression with a wrong name, label or value is found out", () => {
	const metrics = '# TYPE muster_a_total counter\nmuster_a_total{reason="expired"} 0\n';
	expect(faults('rate(muster_a_total{reason=~"expired"}[5m])', metrics)).toEqual([]);
	expect(faults('rate(muster_a_total{reason=~"expired|gone"}[5m])', metrics)).toEqual(['muster_a_total has no reason="gone"']);
	expect(faults("rate(muster_b_total[5m])", metrics)).toEqual(["there is no muster_b_total"]);
	expect(faults("vector(0)", metrics)).toEqual(["it reads no metric"]);
});

describe.each([...runtimeNames])("on %s", (runtime) => {
	test(
		"H18: every panel of the Grafana dashboard and every alert rule reads what a running server and worker really have",
		async () => {
			await using fleet = await Fleet.start({ runtime });
			using machine = new Machine();
			const port = await freePort();
			// Without Docker: what a panel reads has to be there from the start.
			const settings = { ...fleet.settings("yard", await fleet.site("yard")), MUSTER_METRICS_PORT: `${port}`, MUSTER_DOCKER_SOCKET: "off" };
			await using worker = await runWorker(machine, [], settings);
			await soon("the connection", worker.line("worker.connected"));
			const pages = await Promise.all(
				[fleet.server.metricsUrl, `http://127.0.0.1:${port}/metrics`].map(async (url) => (await fetch(url)).text()),
			);

			const all = expressions();
			expect(all.length).toBeGreaterThan(35);
			expect(all.flatMap(([title, expr]) => faults(expr, pages.join("\n")).map((fault) => `${title}: ${fault}`))).toEqual([]);
		},
		testMs,
	);
});

async function freePort(): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	await new Promise((resolve) => server.close(resolve));
	return typeof address === "object" && address !== null ? address.port : 0;
}
