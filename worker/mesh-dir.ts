import { join } from "node:path";
import { exitCodes } from "../src/protocol/codes.ts";
import type { MeshConfig } from "./config-mesh.ts";
import { makePrivateDir } from "./disk.ts";
import { Fatal, reasonOf } from "./fatal.ts";
import { daemonSocket } from "./mesh-daemon.ts";

/** Linux's limit for the path of a socket, less its end. */
const socketPathMax = 107;

/** Where the mesh client of this configuration keeps its login. */
export function meshDirOf(config: MeshConfig, stateDir: string): string {
	return config.stateDir ?? join(stateDir, "mesh");
}

/** The socket of the client that this configuration uses. */
export function meshSocketOf(config: MeshConfig, meshDir: string): string {
	return config.mode === "host" ? config.socket : daemonSocket(meshDir);
}

/** Makes sure the directory is there, for this user alone. Throws `Fatal` 78 when its path is too long for a socket, 73 when it cannot be made. */
export function prepareMeshDir(dir: string): void {
	const socket = daemonSocket(dir);
	if (Buffer.byteLength(socket) > socketPathMax) {
		const why = `its socket "${socket}" would have a path of more than ${socketPathMax} bytes, give a shorter one with MUSTER_MESH_STATE_DIR`;
		throw new Fatal(exitCodes.config, `Cannot use the mesh state directory "${dir}": ${why}`);
	}
	try {
		makePrivateDir(dir);
	} catch (error) {
		const why = `${reasonOf(error)}; give the worker's user a writable one with MUSTER_MESH_STATE_DIR`;
		throw new Fatal(exitCodes.cannotCreate, `Cannot write the mesh state directory "${dir}": ${why}`, { cause: error });
	}
}
