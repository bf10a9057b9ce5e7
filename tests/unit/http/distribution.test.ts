/** What the install script says of its server, and what a program was built for. */
import { expect, test } from "bun:test";
import { askedAt } from "../../../src/http/install-script.ts";
import { targetOf } from "../../../src/http/worker-files.ts";

const publicUrl = "https://muster.example.net/fleet";

test.each([
	["10.0.0.5:7480", undefined, "http://10.0.0.5:7480"],
	["[fd00::5]:7480", undefined, "http://[fd00::5]:7480"],
	["inside.lan", "https", "https://inside.lan"],
	["inside.lan", "gopher", "http://inside.lan"],
	["Muster.Example.net", undefined, publicUrl],
])("the script names the address it was asked at: %s, %s", (host, proto, url) => {
	const headers = new Headers({ host, ...(proto === undefined ? {} : { "x-forwarded-proto": proto }) });
	expect(askedAt(headers, publicUrl)).toBe(url);
});

test.each(["a'; reboot; '", "$(reboot)", "`reboot`", "a b", "a\\b", "a/b", "user@host", "-x", "", "x".repeat(400), "h:999999"])(
	"a Host header that may not stand in a script is not put there: %j",
	(host) => {
		expect(askedAt(new Headers({ host }), publicUrl)).toBe(publicUrl);
	},
);

test("a public URL with a quote in it cannot end the script's own quotes", () => {
	expect(askedAt(new Headers(), "http://muster.lan/it's")).toBe("http://muster.lan/it%27s");
});

function elf(machine: number, loader: string): Buffer {
	const head = Buffer.alloc(4_096);
	head.writeUInt32BE(0x7f454c46, 0);
	head.writeUInt16LE(machine, 18);
	head.write(loader, 512);
	return head;
}

function words(first: number, second: number): Buffer {
	const head = Buffer.alloc(64);
	head.writeUInt32LE(first, 0);
	head.writeUInt32LE(second, 4);
	return head;
}

test.each([
	[elf(62, "/lib64/ld-linux-x86-64.so.2"), "linux-x64"],
	[elf(62, "/lib/ld-musl-x86_64.so.1"), "linux-x64-musl"],
	[elf(183, "/lib/ld-linux-aarch64.so.1"), "linux-arm64"],
	[elf(183, "/lib/ld-musl-aarch64.so.1"), "linux-arm64-musl"],
	[elf(8, "/lib/ld.so.1"), undefined],
	[words(0xfeedfacf, 0x0100000c), "darwin-arm64"],
	[words(0xfeedfacf, 0x01000007), undefined],
	[Buffer.concat([Buffer.from("MZ"), Buffer.alloc(62)]), "windows-x64"],
	[Buffer.from("#!/bin/sh"), undefined],
	[Buffer.alloc(0), undefined],
])("a program says itself what it was built for", (head, target) => {
	expect(targetOf(head)).toBe(target as ReturnType<typeof targetOf>);
});
