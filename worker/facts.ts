import { existsSync } from "node:fs";
import { freemem, hostname, loadavg, totalmem, uptime } from "node:os";

/** What a heartbeat says about the host. */
export interface Vitals {
	/** Load average of the last minute; absent where the system has none. */
	readonly load1?: number;
	readonly memoryUsedBytes: number;
	/** Seconds since the host started. */
	readonly uptimeSeconds: number;
	/** Of the worker itself: the server may know an older one from its enrollment. */
	readonly version?: string;
	/** This host's place on the mesh, as the mesh client says it; absent without one. */
	readonly mesh?: MeshVitals;
}

/** What a heartbeat says about the mesh. */
export interface MeshVitals {
	/** The client's own word (`Running`, `NeedsLogin` …), or `Unavailable` when it does not answer. */
	readonly state: string;
	readonly addresses: readonly string[];
	readonly nodeName?: string;
}

/** Reads the host's vital signs; cheap, makes no process. */
export function readVitals(): Vitals {
	const load1 = process.platform === "win32" ? undefined : loadavg()[0];
	return {
		...(load1 === undefined ? {} : { load1 }),
		memoryUsedBytes: totalmem() - freemem(),
		uptimeSeconds: Math.floor(uptime()),
	};
}

/** The host's own name for itself. */
export function readHostname(): string {
	return hostname();
}

/** This build's platform as the download targets name it: `linux-x64`, `linux-arm64-musl`, `darwin-arm64`, `windows-x64`. */
export function readPlatform(): string {
	const system = process.platform === "win32" ? "windows" : process.platform;
	return `${system}-${process.arch}${isMusl() ? "-musl" : ""}`;
}

/** Where the user says that Docker is: the variable of Docker's own tools. */
export function dockerHost(): string | undefined {
	return process.env.DOCKER_HOST || undefined;
}

function isMusl(): boolean {
	if (process.platform !== "linux") return false;
	if (existsSync("/etc/alpine-release")) return true;
	const [musl, glibc] =
		process.arch === "arm64"
			? ["/lib/ld-musl-aarch64.so.1", "/lib/ld-linux-aarch64.so.1"]
			: ["/lib/ld-musl-x86_64.so.1", "/lib64/ld-linux-x86-64.so.2"];
	return existsSync(musl) && !existsSync(glibc);
}
