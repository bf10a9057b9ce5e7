import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { exitCodes } from "../src/protocol/codes.ts";
import type { MeshConfig } from "./config-mesh.ts";
import { Fatal } from "./fatal.ts";

/** The programs that a mode needs, by their paths. */
export interface MeshTools {
	readonly tailscale: string;
	/** Undefined with the mode `host`, where it runs already. */
	readonly tailscaled: string | undefined;
}

const usualPlaces = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const install =
	'install Tailscale ("curl -fsSL https://tailscale.com/install.sh | sh", or the package tailscale of this system), or give the path with';

/**
 * Finds the mesh client's programs: where the settings say, else on the PATH, else where packages put them. Throws `Fatal` 78 that says what to
 * install; `searchPath` and `isProgram` are for tests.
 */
export function findTools(
	{ mode, tailscale, tailscaled }: MeshConfig,
	searchPath = process.env.PATH ?? "",
	isProgram: (path: string) => boolean = isExecutable,
): MeshTools {
	const places = [...new Set([...searchPath.split(":").filter((place) => place.startsWith("/")), ...usualPlaces])];
	const find = (name: string, given: string | undefined, variable: string): string => {
		if (given !== undefined) {
			if (isProgram(given)) return given;
			throw new Fatal(exitCodes.config, `Cannot use ${variable} "${given}": there is no program, ${install} ${variable}`);
		}
		const found = places.map((place) => join(place, name)).find(isProgram);
		if (found !== undefined) return found;
		const without = "; MUSTER_MESH_MODE=off does without the mesh";
		throw new Fatal(exitCodes.config, `Cannot join the mesh: ${name} is not installed, ${install} ${variable}${without}`);
	};
	return {
		tailscale: find("tailscale", tailscale, "MUSTER_TAILSCALE"),
		tailscaled: mode === "host" ? undefined : find("tailscaled", tailscaled, "MUSTER_TAILSCALED"),
	};
}

/**
 * The environment of the mesh client: the worker's own without its secrets. `TS_…` goes on as it is, such as TS_DEBUG_USE_DERP_HTTP=1 for a
 * Headscale without TLS.
 */
export function toolEnv(meshDir: string, env: Readonly<Record<string, string | undefined>> = process.env): Record<string, string> {
	const kept = Object.entries(env).filter(([name, value]) => value !== undefined && !/^(MUSTER_|BUN_|TS_AUTH_?KEY)/.test(name));
	// It looks below /var/lib for its log's settings unless told, where a hardened unit lets nobody in.
	return { HOME: meshDir, ...(Object.fromEntries(kept) as Record<string, string>), TS_LOGS_DIR: meshDir };
}

function isExecutable(path: string): boolean {
	try {
		accessSync(path, constants.X_OK);
		return statSync(path).isFile();
	} catch {
		return false;
	}
}
