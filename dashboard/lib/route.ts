/** Where the page is: everything after `#`, so that it works below any prefix and a reload comes back to the same place. */
import { signal } from "@preact/signals";

export interface Route {
	/** `["hosts", "host_01…"]`; empty: the overview. */
	readonly parts: readonly string[];
	readonly params: Readonly<Record<string, string>>;
}

export const route = signal<Route>(parseRoute(location.hash));

addEventListener("hashchange", () => {
	route.value = parseRoute(location.hash);
});

/** Replaces the whole address, query included, without a step in the history. */
export function replaceAddress(address: string): void {
	history.replaceState(null, "", address);
	route.value = parseRoute(location.hash);
}

/** Reads `#/hosts/host_1?state=FUSED`. Pure. */
export function parseRoute(hash: string): Route {
	const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
	const parts = path.split("/").filter((part) => part !== "");
	return { parts: parts.map(decoded), params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a place; parameters that are empty are left out. Pure. */
export function href(parts: readonly string[], params: Readonly<Record<string, string | undefined>> = {}): string {
	const given = Object.entries(params).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "");
	const query = new URLSearchParams(given).toString();
	return `#/${parts.map(encodeURIComponent).join("/")}${query === "" ? "" : `?${query}`}`;
}

/** Changes the parameters of where we are, without a step in the history. */
export function setParams(params: Readonly<Record<string, string | undefined>>): void {
	const current = route.peek();
	replaceAddress(href(current.parts, { ...current.params, ...params }));
}

function decoded(part: string): string {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}
