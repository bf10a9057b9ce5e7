import { openEngine } from "../src/engine/engine.ts";
import { engineInfo } from "../src/engine/info.ts";
import { type Config, missingForEnrollment } from "./config.ts";
import { findDocker } from "./docker-address.ts";
import { dockerTransport } from "./docker-transport.ts";
import type { DoctorDeps, Finding } from "./doctor.ts";
import { errnoOf, Fatal, reasonOf } from "./fatal.ts";
import { type Identity, identityStore } from "./identity.ts";
import { livingHolder } from "./lock.ts";
import type { MeshMode } from "./config-mesh.ts";
import { meshLine, type MeshLook } from "./mesh-look.ts";
import { examineStateDir, findStateDir } from "./state-dir.ts";

/** What is known of this host's membership without asking the server. */
export type Membership =
	| { readonly kind: "member"; readonly identity: Identity; readonly from: "settings" | "kept" }
	/** `since`: when an enrollment began that has no answer yet. */
	| { readonly kind: "none"; readonly since: string | undefined }
	| { readonly kind: "broken"; readonly why: string };

type Local = Pick<DoctorDeps, "disk" | "clock" | "processes">;

/** Reads who this host is: the credential in the settings, else the kept pair. */
export function readMembership({ disk }: Pick<Local, "disk">, config: Config): Membership {
	if (config.apiKey !== undefined) {
		const { workerId, key: apiKey } = config.apiKey;
		return { kind: "member", identity: { credential: { workerId, apiKey }, server: undefined }, from: "settings" };
	}
	try {
		const stateDir = findStateDir(config.stateDir);
		if (stateDir === undefined) return { kind: "none", since: undefined };
		const store = identityStore(disk, stateDir);
		const identity = store.peek();
		return identity === undefined ? { kind: "none", since: store.pending()?.startedAt } : { kind: "member", identity, from: "kept" };
	} catch (error) {
		if (error instanceof Fatal) return { kind: "broken", why: error.message };
		throw error;
	}
}

/** Whether the settings suffice. A value that is wrong in itself has stopped the worker before. */
export function checkConfiguration(config: Config, member: Membership): readonly Finding[] {
	if (member.kind === "member") {
		const by = member.from === "settings" ? "MUSTER_WORKER_ID and MUSTER_WORKER_API_KEY" : "the credential in the state directory";
		return [{ verdict: "ok", text: `reports with ${by}` }];
	}
	const missing = missingForEnrollment(config);
	if (missing.length > 0) return missing.map((text) => ({ verdict: "FAIL", text }));
	return [{ verdict: "ok", text: `enrolls as "${config.name ?? ""}" with ${keyNames[config.enrollKey?.kind ?? "enrollment"]}` }];
}

const keyNames = {
	site: "a site key",
	enrollment: "an enrollment key",
	host: "a host token",
	auto: "the auto-enrollment secret",
} as const;

/** Whether the state directory can be used, and who uses it now. */
export function checkStateDir(deps: Local, config: Config): readonly Finding[] {
	const { path, exists, problem } = examineStateDir(config.stateDir);
	if (problem !== undefined) return [{ verdict: "FAIL", text: problem }];
	if (!exists) return [{ verdict: "ok", text: `"${path}" is not there yet and will be made` }];
	const holder = livingHolder(deps, path);
	const used = holder === undefined ? "no worker runs on it" : `a worker runs on it${holder === "unknown" ? "" : `, pid ${holder.pid}`}`;
	return [{ verdict: "ok", text: `"${path}" is private and writable; ${used}` }];
}

/** Whether this host is on the mesh it is to be on. */
export async function checkMesh(mode: MeshMode, look: Promise<MeshLook>): Promise<readonly Finding[]> {
	if (mode === "off") return [{ verdict: "skip", text: "off (MUSTER_MESH_MODE)" }];
	const found = await look;
	const { plan, missing, status, trouble } = found;
	if (plan === undefined) {
		if (missing !== undefined) return [{ verdict: "FAIL", text: missing }];
		return [{ verdict: "skip", text: "this host is to be on none, as far as is known" }];
	}
	if (trouble !== undefined) return [{ verdict: "FAIL", text: status === undefined ? trouble : `${status.backend}: ${trouble}` }];
	return [{ verdict: status === undefined ? "skip" : "ok", text: meshLine(found) ?? "" }];
}

/** Whether Docker answers, in a version this worker speaks; a host that was not told to have one is no worse a worker without. */
export async function checkDocker(
	config: Pick<Config, "dockerSocket">,
	dockerHost: string | undefined,
	signal: AbortSignal,
): Promise<readonly Finding[]> {
	const found = findDocker(config.dockerSocket, dockerHost);
	if (found.kind === "none") return [{ verdict: "skip", text: found.why }];
	try {
		const info = await engineInfo(await openEngine(dockerTransport(found.at), { signal }), { signal });
		return [{ verdict: "ok", text: `Docker ${info.version} at ${found.shown}, API ${info.apiVersion}, engine ${info.id}` }];
	} catch (error) {
		const cause = error instanceof Error ? errnoOf(error.cause) : undefined;
		// Where nobody asked for Docker, its absence is no failure.
		const lacking = cause === "ENOENT" || cause === "EACCES" || cause === "EPERM";
		return [{ verdict: lacking && !found.asked ? "skip" : "FAIL", text: signal.aborted ? "no answer in time" : reasonOf(error) }];
	}
}
