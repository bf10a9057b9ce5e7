import type { Deps } from "../deps.ts";
import { mintKey } from "../mesh/keys.ts";
import { seal } from "../protocol/seal.ts";
import { givesMeshKey } from "./decide.ts";
import { preview } from "./preview.ts";
import type { ProvenRequest } from "./request.ts";

/** A request with what it needs of the mesh, or why the mesh gave out nothing. */
export type Ticketed = { readonly kind: "ready"; readonly request: ProvenRequest } | { readonly kind: "failed"; readonly why: string };

/**
 * Mints the mesh key of a proven host token, before the token is consumed and under no lock (H6). Only when the verdict, as it would be passed now,
 * gives one out: a token that is used up, a name that does not fit, a held machine or a repeat with a sealed reply mint nothing. The key must
 * be given back when the verdict turns out otherwise.
 */
export async function withMeshTicket(deps: Deps, request: ProvenRequest): Promise<Ticketed> {
	const { mesh } = deps;
	// The other ways in never wait for the mesh.
	if (mesh.provider === "none" || request.method !== "HOST_TOKEN") return { kind: "ready", request };
	const { verdict, hostId } = await preview(deps, request);
	const unminted: Ticketed = { kind: "ready", request: { ...request, mesh: { kind: "not-minted" } } };
	if (hostId === null || !givesMeshKey(verdict)) return unminted;
	const { tenantId, enrollmentId, replyKey } = request;
	const minting = await mintKey(deps, mesh, { tenantId, hostId, enrollmentId });
	switch (minting.kind) {
		case "host-gone":
			return unminted;
		case "failed":
			return minting;
		case "minted": {
			const text = minting.text.reveal();
			const key =
				replyKey === null
					? { authKey: text, sealedAuthKey: null }
					: { authKey: null, sealedAuthKey: await seal(replyKey, enrollmentId, text, "meshKey") };
			return { kind: "ready", request: { ...request, mesh: { kind: "minted", id: minting.id, key } } };
		}
	}
}
