import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { generateReplyKey, isReplyKey, open, seal } from "../../../src/protocol/seal.ts";
import { failureOf } from "../../support/failure.ts";

const enrollmentId = "0123456789abcdef0123456789abcdef";
const pair = await generateReplyKey();

describe("a sealed reply (G6)", () => {
	test("is opened by the reply key's owner to the very text", async () => {
		await fc.assert(
			fc.asyncProperty(fc.string({ unit: "grapheme" }), async (text) => {
				expect(await open(pair.privateKey, enrollmentId, await seal(pair.publicKey, enrollmentId, text))).toBe(text);
			}),
		);
	});

	test("does not show the text, and differs each time", async () => {
		const [first, second] = await Promise.all([seal(pair.publicKey, enrollmentId, "secret"), seal(pair.publicKey, enrollmentId, "secret")]);
		expect(first).not.toBe(second);
		expect(Buffer.from(first, "base64").toString("latin1")).not.toContain("secret");
	});

	test("with any one byte flipped is not opened", async () => {
		const raw = Buffer.from(await seal(pair.publicKey, enrollmentId, "a credential"), "base64");
		for (let index = 0; index < raw.length; index++) {
			const bent = Buffer.from(raw);
			// 0x01 and not 0x80: X25519 ignores the top bit of the last byte of a public key (RFC 7748).
			bent.writeUInt8(bent.readUInt8(index) ^ 0x01, index);
			const opened = await open(pair.privateKey, enrollmentId, bent.toString("base64")).catch(() => "refused");
			expect([index, opened]).toEqual([index, "refused"]);
		}
	});

	test("cut short is not opened, at any length", async () => {
		const raw = Buffer.from(await seal(pair.publicKey, enrollmentId, "a credential"), "base64");
		for (let length = 0; length < raw.length; length++) {
			const opened = await open(pair.privateKey, enrollmentId, raw.subarray(0, length).toString("base64")).catch(() => "refused");
			expect([length, opened]).toEqual([length, "refused"]);
		}
	});

	test("of another enrollment id is not opened", async () => {
		const sealed = await seal(pair.publicKey, enrollmentId, "a credential");
		expect(await failureOf(open(pair.privateKey, enrollmentId.replace("0", "1"), sealed))).toBeInstanceOf(Error);
	});

	test("of one purpose is not opened as the other: an API key and a mesh key cannot be swapped", async () => {
		const apiKey = await seal(pair.publicKey, enrollmentId, "an API key");
		const meshKey = await seal(pair.publicKey, enrollmentId, "a mesh key", "meshKey");
		expect(await failureOf(open(pair.privateKey, enrollmentId, apiKey, "meshKey"))).toBeInstanceOf(Error);
		expect(await failureOf(open(pair.privateKey, enrollmentId, meshKey))).toBeInstanceOf(Error);
		expect(await open(pair.privateKey, enrollmentId, meshKey, "meshKey")).toBe("a mesh key");
	});

	test("is not opened by another private key", async () => {
		const sealed = await seal(pair.publicKey, enrollmentId, "a credential");
		expect(await failureOf(open((await generateReplyKey()).privateKey, enrollmentId, sealed))).toBeInstanceOf(Error);
	});
});

describe("a reply key's form", () => {
	test("a generated one has it, and no two are the same", async () => {
		expect(isReplyKey(pair.publicKey)).toBe(true);
		expect((await generateReplyKey()).publicKey).not.toBe(pair.publicKey);
	});

	test.each([
		["empty", ""],
		["31 bytes", Buffer.alloc(31).toString("base64")],
		["33 bytes", Buffer.alloc(33).toString("base64")],
		["base64url", `${"-".repeat(43)}=`],
	])("%s is none", (_, text) => {
		expect(isReplyKey(text)).toBe(false);
	});

	test("the zero point has the form but seals nothing: it would give everyone the key", async () => {
		const zero = Buffer.alloc(32).toString("base64");
		expect(isReplyKey(zero)).toBe(true);
		expect(await failureOf(seal(zero, enrollmentId, "a credential"))).toBeInstanceOf(Error);
	});
});
