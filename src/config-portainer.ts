import type { Secret } from "./lib/secret.ts";

/** The Portainer that hosts may be fused through. */
export interface PortainerConfig {
	/** Where this server reaches it. */
	readonly url: string;
	/** Where the Edge agents on the hosts reach it. */
	readonly edgeUrl: string;
	readonly apiKey: Secret;
	/** Undefined: portainer/agent of the server's own version. */
	readonly agentImage: string | undefined;
	/** Whether a certificate is believed that nobody vouches for, as Portainer makes itself; by this server and by the agents. */
	readonly insecureTls: boolean;
}

/** What the environment says of it, each as parsed. */
export interface PortainerValues {
	readonly MUSTER_PORTAINER_URL?: string;
	readonly MUSTER_PORTAINER_API_KEY?: Secret;
	readonly MUSTER_PORTAINER_EDGE_URL?: string;
	readonly MUSTER_PORTAINER_AGENT_IMAGE?: string;
	readonly MUSTER_PORTAINER_INSECURE_TLS?: boolean;
}

/** The Portainer of these values, undefined without one. Pure. */
export function portainerOf(values: PortainerValues): PortainerConfig | undefined {
	const { MUSTER_PORTAINER_URL: url, MUSTER_PORTAINER_API_KEY: apiKey } = values;
	if (url === undefined || apiKey === undefined) return undefined;
	return Object.freeze({
		url,
		edgeUrl: values.MUSTER_PORTAINER_EDGE_URL ?? url,
		apiKey,
		agentImage: values.MUSTER_PORTAINER_AGENT_IMAGE,
		insecureTls: values.MUSTER_PORTAINER_INSECURE_TLS ?? false,
	});
}

/** A problem when agents would be told `localhost`, which is another machine for each of them, and which Portainer refuses. Pure. */
export function portainerProblems({ MUSTER_PORTAINER_URL: url, MUSTER_PORTAINER_EDGE_URL: edgeUrl }: PortainerValues): string[] {
	const told = edgeUrl ?? url;
	if (told === undefined || new URL(told).hostname !== "localhost") return [];
	const name = edgeUrl === undefined ? "MUSTER_PORTAINER_URL" : "MUSTER_PORTAINER_EDGE_URL";
	return [
		`${name} is ${JSON.stringify(told)}: agents on other hosts cannot reach localhost and Portainer refuses it, give the URL that they reach it at as MUSTER_PORTAINER_EDGE_URL`,
	];
}
