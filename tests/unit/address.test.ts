import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
	formatListenAddress,
	insideAny,
	normalizeAddress,
	parseCidr,
	parseCidrs,
	parseListenAddress,
	sourceAddress,
} from "../../src/lib/address.ts";

describe("parseListenAddress", () => {
	test.each([
		["127.0.0.1:7480", { hostname: "127.0.0.1", port: 7480 }],
		["localhost:0", { hostname: "localhost", port: 0 }],
		["[::1]:7480", { hostname: "::1", port: 7480 }],
		["[::]:65535", { hostname: "::", port: 65_535 }],
	])("%s is host and port", (text, expected) => {
		expect(parseListenAddress(text)).toEqual(expected);
		expect(formatListenAddress(expected)).toBe(text);
	});

	test.each([
		"",
		"7480",
		":7480",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:x",
		"::1:7480",
		"[::1]",
		"[nonsense]:80",
		"a b:80",
		"http://a:80",
	])("%j is refused", (text) => {
		expect(parseListenAddress(text)).toBeUndefined();
	});
});

describe("ranges of addresses", () => {
	test.each([
		["10.1.2.3", "10.0.0.0/8", true],
		["11.1.2.3", "10.0.0.0/8", false],
		["192.0.2.7", "192.0.2.7", true],
		["192.0.2.8", "192.0.2.7", false],
		["2001:db8::1", "2001:db8::/32", true],
		["2001:db9::1", "2001:db8::/32", false],
		["::ffff:10.1.2.3", "10.0.0.0/8", true],
		["10.1.2.3", "::ffff:10.0.0.0/104", true],
		["10.1.2.3", "::/0", false],
		["::1", "0.0.0.0/0", false],
		["fe80::1%eth0", "fe80::/10", true],
		["nonsense", "0.0.0.0/0", false],
	])("%s in %s: %p", (address, range, expected) => {
		expect(insideAny(address, [range])).toBe(expected);
	});

	test.each(["", "10.0.0.0/33", "10.0.0/8", "2001:db8::/129", "nonsense", "10.0.0.0/-1", "10.0.0.0/8/8", "010.0.0.1"])(
		"%j is no range and holds nothing",
		(range) => {
			expect(parseCidr(range)).toBeUndefined();
			expect(insideAny("10.0.0.1", [range])).toBe(false);
		},
	);

	test.each([
		["::ffff:192.0.2.7", "192.0.2.7"],
		["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
		["fe80::1%eth0", "fe80::1"],
		["192.0.2.7", "192.0.2.7"],
		["0x7f.1", undefined],
		["1.2.3", undefined],
		["", undefined],
	])("%j is spelled %p", (text, expected) => {
		expect(normalizeAddress(text)).toBe(expected);
	});
});

describe("sourceAddress", () => {
	const trusted = parseCidrs(["10.0.0.0/8", "fd00::/8"]);

	test.each([
		["without the header, the peer", "10.0.0.1", null, "10.0.0.1"],
		["from a peer that is no proxy, the header counts for nothing", "192.0.2.1", "198.51.100.7", "192.0.2.1"],
		["from a proxy, what it says", "10.0.0.1", "198.51.100.7", "198.51.100.7"],
		["what the client wrote itself stands left of it and counts for nothing", "10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"],
		["a chain of proxies is walked through", "10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.3,10.0.0.2", "198.51.100.7"],
		["only proxies: the leftmost", "10.0.0.1", "10.0.0.4, 10.0.0.3", "10.0.0.4"],
		["a mapped peer is the IPv4 proxy it is", "::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"],
		["IPv6 in brackets with a port", "fd00::1", "[2001:db8::1]:4711", "2001:db8::1"],
		["IPv4 with a port", "10.0.0.1", "198.51.100.7:4711", "198.51.100.7"],
		["garbage ends the walk at the last proxy known", "10.0.0.1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"],
		["an empty header is ignored", "10.0.0.1", "", "10.0.0.1"],
	])("%s", (_title, peer, header, expected) => {
		expect(sourceAddress(peer, header, trusted)).toBe(expected);
	});

	test("nobody is believed when no proxy is trusted, whatever the header holds", () => {
		fc.assert(fc.property(fc.string(), (header) => sourceAddress("10.0.0.1", header, []) === "10.0.0.1"));
	});

	test("whatever a client writes on the left, the address on the right of it is the source", () => {
		fc.assert(fc.property(fc.string(), (written) => sourceAddress("10.0.0.1", `${written}, 198.51.100.7`, trusted) === "198.51.100.7"));
	});
});
