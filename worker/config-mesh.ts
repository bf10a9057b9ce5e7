import type { SettingName } from "./settings.ts";

/** How this host is on the mesh. */
export const meshModes = ["userspace", "tun", "host", "off"] as const;
export type MeshMode = (typeof meshModes)[number];

/** What is set about the mesh. */
export interface MeshConfig {
	readonly mode: MeshMode;
	/** The mode was set, and is not just the default: then its parts are looked for before a token is used up. */
	readonly asked: boolean;
	/** Undefined: `mesh` in the state directory. */
	readonly stateDir: string | undefined;
	/** Of the mode `host`: where this host's tailscaled listens. */
	readonly socket: string;
	/** Paths of the programs; undefined: looked for. */
	readonly tailscale: string | undefined;
	readonly tailscaled: string | undefined;
}

/** Where a packaged tailscaled listens. */
export const hostSocket = "/var/run/tailscale/tailscaled.sock";

/** Without a word about the mesh: what the enroll reply says is done in userspace, which needs no rights. */
export const defaultMesh: MeshConfig = {
	mode: "userspace",
	asked: false,
	stateDir: undefined,
	socket: hostSocket,
	tailscale: undefined,
	tailscaled: undefined,
};

/** Reads the settings about the mesh; adds a problem for each that cannot be right. Pure. */
export function readMesh(values: Readonly<Partial<Record<SettingName, string>>>, problems: string[]): MeshConfig {
	const { meshMode, meshStateDir, meshSocket, tailscale, tailscaled } = values;
	const mode = meshMode === undefined ? defaultMesh.mode : meshModes.find((known) => known === meshMode);
	if (mode === undefined) problems.push(`Cannot use MUSTER_MESH_MODE "${meshMode}": it is userspace, tun, host or off`);
	const paths = [
		["MUSTER_MESH_STATE_DIR", meshStateDir],
		["MUSTER_MESH_SOCKET", meshSocket],
		["MUSTER_TAILSCALE", tailscale],
		["MUSTER_TAILSCALED", tailscaled],
	] as const;
	for (const [variable, path] of paths) {
		if (path !== undefined && !path.startsWith("/")) {
			problems.push(`Cannot use ${variable} "${path}": give a whole path, beginning with /`);
		}
	}
	if (meshSocket !== undefined && mode !== undefined && mode !== "host") {
		problems.push(`Cannot use MUSTER_MESH_SOCKET with the mode "${mode}": it belongs to MUSTER_MESH_MODE=host, set that or unset it`);
	}
	return {
		mode: mode ?? defaultMesh.mode,
		asked: meshMode !== undefined,
		stateDir: meshStateDir,
		socket: meshSocket ?? hostSocket,
		tailscale,
		tailscaled,
	};
}
