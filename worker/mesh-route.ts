import { normalizeAddress } from "../src/lib/address.ts";
import type { Endpoint } from "./address.ts";
import type { MeshMode } from "./config-mesh.ts";
import type { MeshApi } from "./mesh-api.ts";
import { isMeshAddress } from "./mesh-words.ts";

/** How a client leads into the mesh. */
export interface Way {
	readonly mode: MeshMode;
	/** The client's proxy, which alone leads there in userspace; undefined: not known (yet). */
	readonly proxy: string | undefined;
	/** What to say when the client does not answer. */
	readonly silent: string;
}

/**
 * An endpoint as it is to be called: by the mesh when a member has its address or name, else straight. Or why it must not be called: a client hands
 * whatever is no member's to the open network, so a mesh address that is nobody's would take the credential there in the clear.
 */
export async function routeOver(api: MeshApi, endpoint: Endpoint, way: Way): Promise<Endpoint | { readonly why: string }> {
	const host = new URL(endpoint.http).hostname.replace(/^\[(.*)\]$/, "$1");
	const ip = normalizeAddress(host);
	const known = ip === undefined ? await api.isMemberName(host) : await api.isMember(ip);
	if (!known && !isMeshAddress(host)) return endpoint;
	if (known === undefined) return { why: way.silent };
	if (!known) {
		return {
			why: `Cannot reach ${endpoint.http}: no member of the mesh whom this host may reach has this address, see the server's own place there`,
		};
	}
	if (way.mode !== "userspace") return endpoint;
	return way.proxy === undefined ? { why: way.silent } : { ...endpoint, proxy: way.proxy };
}
