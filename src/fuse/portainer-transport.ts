import { EngineError } from "../engine/error.ts";
import type { EngineRequest, EngineResponse, EngineTransport } from "../engine/transport.ts";
import type { PortainerPlace } from "./portainer-client.ts";
import { send, textOf } from "./portainer-http.ts";

const errorBytesMax = 64 * 1024;

/**
 * The way to a host's engine through Portainer's proxy. The first request opens the agent's tunnel, for which Portainer waits two of its check-ins:
 * callers give it that time. `docker_unavailable` when Portainer or the tunnel is not there; it may come later.
 */
export function portainerTransport(place: PortainerPlace, environmentId: number): EngineTransport {
	return {
		async request(request) {
			const url = new URL(`${place.url}/api/endpoints/${environmentId}/docker${request.path}`);
			for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
			const answer = await ask(place, url, request);
			if (answer.status !== 500) return answer;
			const text = await textOf(answer.body, errorBytesMax);
			if (/tunnel|edge agent/i.test(text))
				throw new EngineError("docker_unavailable", `Portainer has no way to the host's Edge agent: ${text.slice(0, 300)}`, {
					status: 500,
				});
			return { ...answer, body: once(text) };
		},
		async hijack() {
			throw new EngineError("docker_unavailable", "Portainer's proxy takes no raw connections: the worker is to be asked instead");
		},
	};
}

async function ask(place: PortainerPlace, url: URL, { method, headers, body, signal }: EngineRequest): Promise<EngineResponse> {
	try {
		return await send({
			method,
			url,
			headers: { ...headers, "x-api-key": place.apiKey.reveal() },
			body,
			insecureTls: place.insecureTls,
			signal: signal ?? new AbortController().signal,
		});
	} catch (error) {
		signal?.throwIfAborted();
		const why = error instanceof Error ? error.message : String(error);
		throw new EngineError("docker_unavailable", `Cannot reach the host's engine through Portainer at ${place.url}: ${why}`, {
			cause: error,
		});
	}
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
	yield Buffer.from(text);
}
