/** Where a webhook may point: its URL's form, and the addresses nobody is sent to unless allowed. Pure. */
import ipaddr from "ipaddr.js";

/** Longer ones are cut by proxies on their way. */
const urlCharsMax = 2_000;

/** Why a text cannot be a webhook's URL, in words that follow its quoted value; undefined when it can. */
export function urlProblem(text: string): string | undefined {
	if (text.length > urlCharsMax) return `is longer than ${urlCharsMax} characters: give a shorter URL`;
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined || !/^https?:\/\//i.test(text)) return "is no http or https URL: give one such as https://hooks.example.net/muster";
	// The username and password would be shown to every viewer.
	if (url.username !== "" || url.password !== "") return "holds credentials: leave them out, the signature proves who sends";
	if (text.includes("#")) return "holds a fragment, which is never sent: leave out # and what follows";
	return undefined;
}

/** A URL's text without what may be secret: credentials go, and all after the host. For messages. */
export function shownUrl(text: string): string {
	if (!URL.canParse(text)) return text.slice(0, 80);
	const { protocol, host } = new URL(text);
	return `${protocol}//${host}`;
}

/** The address that a URL's host is, undefined for a name. Spellings such as 0x7f.1 and 2130706433 are addresses by then: URL reads them as such. */
export function literalAddress(url: URL): string | undefined {
	const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
	return ipaddr.isValid(host) ? host : undefined;
}

const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3");
const nat64 = ipaddr.IPv6.parseCIDR("64:ff9b::/96");

/**
 * Why nothing may be sent to an address: the kind of range it lies in, such as `loopback`, `private` or `linkLocal`. Undefined for
 * an address of the public internet, and for those alone: what is not known to be public is refused.
 * IPv4 inside IPv6 (mapped, NAT64) counts as the IPv4 address it stands for.
 */
export function notPublic(address: string): string | undefined {
	const bare = address.split("%", 1)[0] ?? address;
	if (!ipaddr.isValid(bare)) return "invalid";
	const parsed = ipaddr.parse(bare);
	if (parsed instanceof ipaddr.IPv4) return unlessUnicast(parsed.range());
	if (parsed.isIPv4MappedAddress()) return unlessUnicast(parsed.toIPv4Address().range());
	if (parsed.match(nat64)) return unlessUnicast(new ipaddr.IPv4(parsed.toByteArray().slice(12)).range());
	// Outside of 2000::/3 nothing is public; among it is ::/96, which the library calls unicast.
	return unlessUnicast(parsed.range()) ?? (parsed.match(globalUnicast) ? undefined : "reserved");
}

function unlessUnicast(range: string): string | undefined {
	return range === "unicast" ? undefined : range;
}
