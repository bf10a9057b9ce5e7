/** The mesh as `status` and `doctor` see it, from beside the running worker. Starts nothing and changes nothing. */
import type { Endpoint } from "./address.ts";
import type { Config } from "./config.ts";
import type { Disk } from "./disk.ts";
import { Fatal } from "./fatal.ts";
import { type Identity, identityStore } from "./identity.ts";
import { type MeshApi, meshApi } from "./mesh-api.ts";
import { readRunning } from "./mesh-daemon.ts";
import { meshDirOf, meshSocketOf } from "./mesh-dir.ts";
import { type MeshMark, readMark } from "./mesh-mark.ts";
import type { MeshPlan } from "./mesh-port.ts";
import { routeOver } from "./mesh-route.ts";
import { type MeshStatus, standingOf } from "./mesh-status.ts";
import { findTools } from "./mesh-tools.ts";
import { whyLost, whySilent, whyWaiting } from "./mesh-words.ts";
import { meshPlan } from "./start.ts";

/** What was found. */
export interface MeshLook {
	/** Undefined: this host is to be on no mesh, or is not enrolled. */
	readonly plan: MeshPlan | undefined;
	readonly mark: MeshMark | undefined;
	/** A key waits to be used. */
	readonly hasKey: boolean;
	/** The client's word; undefined when it does not answer, as when no worker runs. */
	readonly status: MeshStatus | undefined;
	/** What is missing, with what to install. */
	readonly missing: string | undefined;
	/** What is wrong, with the remedy; undefined when this host is a member, or may still become one by itself. */
	readonly trouble: string | undefined;
	/** How an endpoint is called from here. */
	reach(endpoint: Endpoint): Promise<Endpoint | { readonly why: string }>;
}

const remedy = "make a new token with regenerateHostToken and start the worker with it as MUSTER_ENROLL_TOKEN";

/** Looks. Takes a few milliseconds, three seconds at most. Never throws. */
export async function lookAtMesh(
	disk: Disk,
	config: Config,
	stateDir: string | undefined,
	identity: Identity | undefined,
): Promise<MeshLook> {
	const plan = identity === undefined ? undefined : meshPlan(config, identity);
	const missing = config.mesh.asked || plan !== undefined ? missingTools(config) : undefined;
	if (plan === undefined || stateDir === undefined) {
		return { plan, mark: undefined, hasKey: false, status: undefined, missing, trouble: missing, reach: (to) => Promise.resolve(to) };
	}
	const dir = meshDirOf(config.mesh, stateDir);
	const api = meshApi(meshSocketOf(config.mesh, dir));
	const [mark, hasKey, status] = [readMark(disk, dir), identityStore(disk, stateDir).hasMeshKey(), await api.status()];
	const found = { plan, mark, hasKey, status, missing };
	return { ...found, trouble: missing ?? troubleOf(found, config, dir), reach: (to) => reach(api, to, disk, config, dir) };
}

/** The mesh in one line for `status`. */
export function meshLine({ plan, status, mark, hasKey, trouble }: MeshLook): string | null {
	if (plan === undefined) return null;
	const names = status ?? mark;
	const who = names === undefined ? "" : `${names.addresses.join(", ")}${names.nodeName ? ` as ${names.nodeName}` : ""}`;
	if (trouble !== undefined) return `${status?.backend ?? "unavailable"}: ${trouble}`;
	if (status !== undefined) return `${status.backend}${who === "" ? "" : `, ${who}`}`;
	return mark === undefined && hasKey ? "not joined yet, a key is kept" : `a member, ${who}; up while the worker runs`;
}

function troubleOf({ plan, mark, hasKey, status }: Pick<MeshLook, "plan" | "mark" | "hasKey" | "status">, config: Config, dir: string) {
	const lostWith = (seen: MeshStatus) => (hasKey ? undefined : `${whyLost(plan?.controlUrl, seen, dir)}; ${remedy}`);
	if (status === undefined) {
		if (config.mesh.mode === "host") return whySilent(config.mesh, "");
		return mark === undefined ? lostWith(nowhere) : undefined;
	}
	switch (standingOf(status, config.mesh.mode !== "host")) {
		case "joined":
			return undefined;
		case "outside":
			return lostWith(status);
		case "stopped":
			return 'Tailscale is switched off on this host: run "tailscale up", or restart the worker if the client is its own';
		case "resuming":
		case "unapproved":
			return `${whyWaiting(status, plan?.controlUrl)}; check this host's way to it, and that it runs`;
	}
}

/** A client that has no login, as the one of an empty directory would be. */
const nowhere: MeshStatus = {
	backend: "NeedsLogin",
	hasNodeKey: false,
	asksForLogin: false,
	tun: false,
	addresses: [],
	nodeName: undefined,
};

function reach(api: MeshApi, endpoint: Endpoint, disk: Disk, { mesh }: Config, dir: string): Promise<Endpoint | { readonly why: string }> {
	const proxy = readRunning(disk, dir)?.proxy ?? undefined;
	return routeOver(api, endpoint, {
		mode: mesh.mode,
		proxy: proxy && `http://${proxy}`,
		silent: "it is reached by the mesh, which is up while the worker runs",
	});
}

function missingTools(config: Config): string | undefined {
	if (config.mesh.mode === "off") return undefined;
	try {
		findTools(config.mesh);
		return undefined;
	} catch (error) {
		if (error instanceof Fatal) return error.message;
		throw error;
	}
}
