/** Network addresses: parsing what people configure, and telling who a request is from. Pure. */
import ipaddr from "ipaddr.js";

/** `host:port`, port 0 for any free one. */
export interface ListenAddress {
	readonly hostname: string;
	readonly port: number;
}

/**
 * Parses `host:port`; IPv6 in brackets: `[::1]:7480`. Port 0 takes any free one.
 * Undefined for anything else: a missing port, a bare IPv6 address, a port past 65535.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
	if (match === null) return undefined;
	const [, bracketed, plain, portText] = match;
	const port = Number(portText);
	if (port > 65_535) return undefined;
	if (bracketed !== undefined) return ipaddr.IPv6.isValid(bracketed) ? { hostname: bracketed, port } : undefined;
	return plain === undefined ? undefined : { hostname: plain, port };
}

/** `host:port` as `parseListenAddress` reads it. */
export function formatListenAddress({ hostname, port }: ListenAddress): string {
	return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** A range of addresses. IPv4-mapped IPv6 ranges are IPv4 ranges. */
export type Cidr = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Parses `10.0.0.0/8`, `2001:db8::/32` or a single address; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
	const [addressText = "", bitsText, ...rest] = text.split("/");
	const address = parse(addressText);
	if (address === undefined || rest.length > 0) return undefined;
	const width = isIPv6(address) ? 128 : 32;
	if (bitsText === undefined) return [address, width];
	// The bits of a mapped IPv4 range count from the IPv6 address's start.
	const mappedBits = addressText.includes(":") && !isIPv6(address) ? 96 : 0;
	const bits = /^\d{1,3}$/.test(bitsText) ? Number(bitsText) - mappedBits : Number.NaN;
	return bits >= 0 && bits <= width ? [address, bits] : undefined;
}

/** As the library writes them, and most of those who ask come. */
const plainIPv4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;

/** The one spelling of an address: IPv4-mapped IPv6 as IPv4, IPv6 compressed, no zone. Undefined when it is none. */
export function normalizeAddress(text: string): string | undefined {
	return plainIPv4.test(text) ? text : parse(text)?.toString();
}

/** Whether an address lies in one of the ranges; false for what is no address. */
export function isWithin(text: string, ranges: readonly Cidr[]): boolean {
	const address = parse(text);
	if (address === undefined) return false;
	return ranges.some(([base, bits]) => base.kind() === address.kind() && address.match(base, bits));
}

/** Whether an address lies in one of the ranges, as people wrote them; a range that cannot be read holds nothing. */
export function insideAny(text: string, ranges: readonly string[]): boolean {
	return isWithin(text, parseCidrs(ranges));
}

/** Parses ranges once for many questions; what cannot be read is left out, so check with `parseCidr` where people type them. */
export function parseCidrs(ranges: readonly string[]): readonly Cidr[] {
	return ranges.map(parseCidr).filter((range) => range !== undefined);
}

/**
 * Who a request is from. The peer itself, unless it is a trusted proxy: then the rightmost address of X-Forwarded-For that is not a
 * trusted proxy, since everything left of it was written by somebody we do not trust. Entries that are no address end the
 * search at the last proxy known; a header that holds only trusted proxies gives the leftmost of them.
 * @param peer as the socket sees it
 * @param forwardedFor the X-Forwarded-For header, or null
 */
export function sourceAddress(peer: string, forwardedFor: string | null, trustedProxies: readonly Cidr[]): string {
	let source = normalizeAddress(peer) ?? peer;
	if (forwardedFor === null || trustedProxies.length === 0) return source;
	const hops = forwardedFor.split(",").reverse();
	for (const hop of hops) {
		if (!isWithin(source, trustedProxies)) return source;
		const address = normalizeAddress(withoutPort(hop.trim()));
		if (address === undefined) return source;
		source = address;
	}
	return source;
}

/**
 * What one subscriber holds at least: an IPv4 address, or the /64 of an IPv6 one, of which anybody has 2^64 addresses to come from. Texts that
 * are no address stay as they are.
 */
export function subscriberOf(text: string): string {
	if (plainIPv4.test(text)) return text;
	const address = parse(text);
	if (address === undefined || !isIPv6(address)) return address?.toString() ?? text;
	const parts = address.parts.slice(0, 4).map((part) => part.toString(16));
	return `${parts.join(":")}::/64`;
}

/** Whether a listener there takes connections at every address, so that its address cannot be told to anybody. */
export function isWildcard(hostname: string): boolean {
	return hostname === "0.0.0.0" || hostname === "::";
}

function withoutPort(hop: string): string {
	const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(hop);
	if (bracketed?.[1] !== undefined) return bracketed[1];
	const dotted = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop);
	return dotted?.[1] ?? hop;
}

function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
	const bare = text.split("%", 1)[0] ?? text;
	// Only the four-part decimal form: the library also takes octal, hexadecimal and short IPv4, which proxies never write.
	if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return ipaddr.IPv4.parse(bare);
	if (!ipaddr.IPv6.isValid(bare)) return undefined;
	const address = ipaddr.IPv6.parse(bare);
	return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function isIPv6(address: ipaddr.IPv4 | ipaddr.IPv6): address is ipaddr.IPv6 {
	return address.kind() === "ipv6";
}
