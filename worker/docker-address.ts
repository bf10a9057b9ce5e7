import type { DockerAddress } from "./docker-transport.ts";

/** Where Docker is to be found, or why it is not looked for. */
export type FoundDocker =
	| {
			readonly kind: "at";
			readonly at: DockerAddress;
			/** As people write it. */
			readonly shown: string;
			/** Somebody said where: then it is wrong that it is not there. */
			readonly asked: boolean;
	  }
	| { readonly kind: "none"; readonly why: string };

const usualSocket = "/var/run/docker.sock";

/** Where Docker is: MUSTER_DOCKER_SOCKET (`off`: not wanted), else DOCKER_HOST, else the usual socket. Pure. */
export function findDocker(dockerSocket: string | undefined, dockerHost: string | undefined): FoundDocker {
	if (dockerSocket === "off") return { kind: "none", why: "Docker is switched off: MUSTER_DOCKER_SOCKET is off" };
	if (dockerSocket !== undefined) return { kind: "at", at: { socketPath: dockerSocket }, shown: dockerSocket, asked: true };
	const at = dockerAt(dockerHost);
	if (at === undefined) {
		const why = `Cannot use DOCKER_HOST "${dockerHost ?? ""}": only unix:// and tcp:// without TLS are spoken, give the socket's path as MUSTER_DOCKER_SOCKET`;
		return { kind: "none", why };
	}
	return { kind: "at", at, shown: dockerHost ?? usualSocket, asked: dockerHost !== undefined };
}

/** Where DOCKER_HOST says: undefined when it names a way that is not spoken here (ssh, TLS). */
export function dockerAt(dockerHost: string | undefined): DockerAddress | undefined {
	if (dockerHost === undefined) return { socketPath: usualSocket };
	const socketPath = /^unix:\/\/(\/.+)$/.exec(dockerHost)?.[1];
	if (socketPath !== undefined) return { socketPath };
	if (!/^(tcp|http):\/\//.test(dockerHost) || !URL.canParse(dockerHost.replace(/^tcp/, "http"))) return undefined;
	const { hostname, port } = new URL(dockerHost.replace(/^tcp/, "http"));
	// 2376 is Docker's port with TLS, for which this would need the client's certificate.
	if (port === "2376" || hostname === "") return undefined;
	return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? 2375 : Number(port) };
}
