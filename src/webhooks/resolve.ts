import { lookup } from "node:dns/promises";
import { literalAddress, notPublic } from "./target.ts";

/** Where a URL's host leads. */
export type Resolved =
	/** Every one of them may be connected to. IPv4 first: not every server has IPv6. */
	| { readonly kind: "addresses"; readonly addresses: readonly string[] }
	/** At least one address is not of the public internet. `why` follows the host's quoted name, here and below. */
	| { readonly kind: "refused"; readonly why: string }
	| { readonly kind: "unknown"; readonly why: string };

/** They are tried in turn within one deadline; more would not get their part of it. */
const addressesMax = 3;

/**
 * Resolves a URL's host and judges every address it leads to; the caller connects to one of these addresses and to nothing else, so a
 * name that leads elsewhere a moment later changes nothing. Gives up when the signal aborts: `unknown`.
 */
export async function resolveTarget(url: URL, allowPrivate: boolean, signal: AbortSignal): Promise<Resolved> {
	const literal = literalAddress(url);
	const found = literal === undefined ? await addressesOf(url.hostname, signal) : [literal];
	if (typeof found === "string") return { kind: "unknown", why: found };
	const range = allowPrivate ? undefined : found.map(notPublic).find((one) => one !== undefined);
	if (range !== undefined) {
		// The address stays unsaid: what names lead to inside is nobody's business outside.
		const how = literal === undefined ? "leads to an address that is not public" : `is an address that is not public (${range})`;
		return { kind: "refused", why: `${how}: set MUSTER_WEBHOOK_PRIVATE_ADDRESSES=on to allow it` };
	}
	const ordered = [...found.filter((address) => !address.includes(":")), ...found.filter((address) => address.includes(":"))];
	return { kind: "addresses", addresses: ordered.slice(0, addressesMax) };
}

/** The addresses of a name, or why there are none. */
async function addressesOf(name: string, signal: AbortSignal): Promise<readonly string[] | string> {
	const aborted = Promise.withResolvers<string>();
	const abort = () => aborted.resolve("was not resolved in time");
	signal.addEventListener("abort", abort, { once: true });
	if (signal.aborted) abort();
	try {
		const asked = lookup(name, { all: true }).then(
			(found) => (found.length === 0 ? "has no address" : found.map(({ address }) => address)),
			(error: unknown) => `cannot be resolved (${codeOf(error)})`,
		);
		return await Promise.race([asked, aborted.promise]);
	} finally {
		signal.removeEventListener("abort", abort);
	}
}

/** The code of a system error such as ECONNREFUSED, else its message. */
export function codeOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
