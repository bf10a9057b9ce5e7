/** What the mesh tells people, and how its addresses are told from others. Pure. */
import { insideAny } from "../src/lib/address.ts";
import type { MeshConfig } from "./config-mesh.ts";
import { type MeshStatus, standingOf } from "./mesh-status.ts";

/** Addresses that are a mesh's and nobody else's (Tailscale's and Headscale's ranges). */
const meshRanges: readonly string[] = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];

/** Whether an address can be nowhere but on a mesh. */
export function isMeshAddress(host: string): boolean {
	return insideAny(host, meshRanges);
}

/** Whether two control URLs are the same. */
export function sameUrl(left: string, right: string): boolean {
	return left.replace(/\/+$/, "") === right.replace(/\/+$/, "");
}

/** Why a host is a member no more; ends before the remedy, which the machine adds. */
export function whyLost(controlUrl: string | undefined, { hasNodeKey }: MeshStatus, meshDir: string): string {
	const there = controlUrl ?? "its server";
	if (hasNodeKey) return `the mesh at ${there} does not know this host any more (NeedsLogin): its node was deleted or has expired`;
	return `this host's login to the mesh at ${there} is not in "${meshDir}" (NeedsLogin), and no key is kept that could bring one`;
}

/** Why the host's own client cannot be used. */
export function whyNot(move: "foreign" | "off", at: string | undefined, wanted: string | undefined): string {
	if (move === "off") {
		return 'This host\'s Tailscale is switched off: run "tailscale up" there, or let the worker run its own with MUSTER_MESH_MODE=userspace';
	}
	return `This host's Tailscale is on the mesh of ${at ?? "another server"}, not on that of ${wanted ?? "this one"}: use MUSTER_MESH_MODE=userspace, which leaves it alone`;
}

/** Why nothing is known: the client does not answer. */
export function whySilent({ mode, socket }: MeshConfig, lastLine: string): string {
	if (mode === "host") return `This host's tailscaled does not answer at ${socket}: start it, or give its socket with MUSTER_MESH_SOCKET`;
	return `tailscaled does not answer${lastLine === "" ? "" : ` (${lastLine})`}: see the log with MUSTER_LOG_LEVEL=debug`;
}

/** What a host waits for that is not on the mesh yet. */
export function whyWaiting(status: MeshStatus, controlUrl: string | undefined): string {
	if (standingOf(status) === "unapproved") return "Not on the mesh yet: an admin of the mesh has to approve this node";
	return `Not on the mesh yet (${status.backend}): ${controlUrl ?? "its control server"} has not answered`;
}
