import type { MetricsRegistry } from "../metrics/registry.ts";

/** The metrics listener's handler: GET /metrics in the Prometheus text format, 404 for all else. Never put it on a public listener. */
export function metricsHandler(metrics: Pick<MetricsRegistry, "render">): (request: Request) => Promise<Response> {
	return async (request) => {
		const { pathname } = new URL(request.url);
		if (pathname !== "/metrics")
			return Response.json({ error: `There is nothing at ${pathname}: metrics are at /metrics` }, { status: 404 });
		if (request.method !== "GET" && request.method !== "HEAD") return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
		const { text, contentType } = await metrics.render();
		return new Response(request.method === "HEAD" ? null : text, { headers: { "content-type": contentType, "cache-control": "no-store" } });
	};
}
