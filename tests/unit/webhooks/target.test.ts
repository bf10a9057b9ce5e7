import { describe, expect, test } from "bun:test";
import { resolveTarget } from "../../../src/webhooks/resolve.ts";
import { literalAddress, notPublic, shownUrl, urlProblem } from "../../../src/webhooks/target.ts";

describe("addresses that nothing is sent to unless allowed", () => {
	test.each([
		["127.0.0.1", "loopback"],
		["127.255.255.254", "loopback"],
		["10.0.0.1", "private"],
		["172.16.0.1", "private"],
		["172.31.255.255", "private"],
		["192.168.1.1", "private"],
		["100.64.0.1", "carrierGradeNat"],
		["100.127.255.255", "carrierGradeNat"],
		["169.254.0.1", "linkLocal"],
		["169.254.169.254", "linkLocal"],
		["0.0.0.0", "unspecified"],
		["0.1.2.3", "unspecified"],
		["224.0.0.1", "multicast"],
		["239.255.255.255", "multicast"],
		["240.0.0.1", "reserved"],
		["192.0.2.1", "reserved"],
		["198.18.0.1", "reserved"],
		["198.51.100.1", "reserved"],
		["203.0.113.1", "reserved"],
		["192.0.0.1", "reserved"],
		["255.255.255.255", "broadcast"],
		["::", "unspecified"],
		["::1", "loopback"],
		["fe80::1", "linkLocal"],
		["fe80::1%eth0", "linkLocal"],
		["fc00::1", "uniqueLocal"],
		["fd12:3456::1", "uniqueLocal"],
		["fec0::1", "deprecatedSiteLocal"],
		["ff02::1", "multicast"],
		["2001:db8::1", "reserved"],
		["2002:a00:1::", "6to4"],
		["2001:0:1::", "teredo"],
		["4000::1", "reserved"],
		["::7f00:1", "reserved"],
		["::ffff:127.0.0.1", "loopback"],
		["::ffff:7f00:1", "loopback"],
		["::ffff:a9fe:a9fe", "linkLocal"],
		["::ffff:10.0.0.1", "private"],
		["64:ff9b::a00:1", "private"],
		["64:ff9b::7f00:1", "loopback"],
		["64:ff9b:1::808:808", "rfc6052"],
		["no address", "invalid"],
		["", "invalid"],
	])("%s: %s", (address, range) => {
		expect(notPublic(address)).toBe(range);
	});

	test.each(["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])(
		"%s is public: webhooks reach it",
		(address) => {
			expect(notPublic(address)).toBeUndefined();
		},
	);
});

describe("a host that is an address is seen as one, however it is spelt", () => {
	test.each([
		["http://127.0.0.1/", "127.0.0.1"],
		["http://127.0.0.1./", "127.0.0.1"],
		["http://127.1/", "127.0.0.1"],
		["http://2130706433/", "127.0.0.1"],
		["http://0x7f.1/", "127.0.0.1"],
		["http://0x7f000001/", "127.0.0.1"],
		["http://0177.0.0.1/", "127.0.0.1"],
		["http://１２７.0.0.1/", "127.0.0.1"],
		["http://127%2e0%2e0%2e1/", "127.0.0.1"],
		["http://[::1]/", "::1"],
		["http://[0:0:0:0:0:0:0:1]/", "::1"],
		["http://[::ffff:127.0.0.1]/", "::ffff:7f00:1"],
	])("%s", async (text, address) => {
		const url = new URL(text);
		expect(literalAddress(url)).toBe(address);
		expect(await resolveTarget(url, false, AbortSignal.timeout(5_000))).toMatchObject({
			kind: "refused",
			why: expect.stringContaining("loopback"),
		});
	});

	test("a name is none", () => {
		expect(literalAddress(new URL("https://hooks.example.net/"))).toBeUndefined();
		expect(literalAddress(new URL("https://1.2.3.4.example.net/"))).toBeUndefined();
	});
});

describe("names are judged by every address they lead to", () => {
	const soon = () => AbortSignal.timeout(5_000);
	test.each(["http://localhost/", "http://LOCALHOST:8080/"])("%s is refused", async (url) => {
		expect(await resolveTarget(new URL(url), false, soon())).toMatchObject({ kind: "refused", why: expect.stringContaining("not public") });
	});

	test("a refusal says how to allow it, and not what the name leads to", async () => {
		const { why } = (await resolveTarget(new URL("http://localhost/"), false, soon())) as { why: string };
		expect(why).toContain("MUSTER_WEBHOOK_PRIVATE_ADDRESSES=on");
		expect(why).not.toMatch(/127\.0|::1|loopback/);
	});

	test("allowed: the addresses are handed on, to connect to these and no others", async () => {
		const resolved = await resolveTarget(new URL("http://localhost/"), true, soon());
		expect(resolved).toMatchObject({ kind: "addresses" });
		if (resolved.kind === "addresses") expect(resolved.addresses.map(notPublic)).toEqual(resolved.addresses.map(() => "loopback"));
	});

	test("a name without an address is no refusal: it may get one before the delivery", async () => {
		expect(await resolveTarget(new URL("http://nothing.invalid/"), false, soon())).toMatchObject({ kind: "unknown" });
	});

	test("a resolver that does not answer holds nobody up", async () => {
		expect(await resolveTarget(new URL("http://nothing.invalid/"), false, AbortSignal.abort())).toEqual({
			kind: "unknown",
			why: "was not resolved in time",
		});
	});
});

describe("the form of a URL", () => {
	test.each([
		"https://hooks.example.net/muster",
		"http://hooks.example.net:8080/a?b=c",
		"HTTPS://HOOKS.EXAMPLE.NET",
		"https://[2606:4700::1]/",
		"https://bücher.example/",
	])("%s is taken", (url) => {
		expect(urlProblem(url)).toBeUndefined();
	});

	test.each([
		["ftp://hooks.example.net/", "no http or https URL"],
		["file:///etc/passwd", "no http or https URL"],
		["javascript:alert(1)", "no http or https URL"],
		["hooks.example.net", "no http or https URL"],
		["//hooks.example.net/", "no http or https URL"],
		["https:hooks.example.net", "no http or https URL"],
		["https://", "no http or https URL"],
		["", "no http or https URL"],
		["https://user:pass@hooks.example.net/", "credentials"],
		["https://user@hooks.example.net/", "credentials"],
		["https://:pass@hooks.example.net/", "credentials"],
		["https://hooks.example.net/#part", "fragment"],
		["https://hooks.example.net/#", "fragment"],
		[`https://hooks.example.net/${"x".repeat(2_000)}`, "longer than 2000"],
	])("%s is refused: %s", (url, why) => {
		expect(urlProblem(url)).toContain(why);
	});

	test("a message shows no password and no path, which may hold a token", () => {
		expect(shownUrl("https://user:pass@hooks.example.net:8443/secret?token=1#x")).toBe("https://hooks.example.net:8443");
		expect(shownUrl("x".repeat(200))).toBe("x".repeat(80));
	});
});
