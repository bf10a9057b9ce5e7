import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { claimedKind, fingerprint, mintToken, parseToken, sameBytes, tokenKinds } from "../../../src/protocol/token.ts";

const entropy = fc.uint8Array({ minLength: 38, maxLength: 38 });
const kind = fc.constantFrom(...tokenKinds);
const zeros = mintToken("site", new Uint8Array(38));

describe("a key's text (S2, B2)", () => {
	test("is mst_<kind>_<selector>_<secret><crc32>, to the byte", () => {
		const body = `mst_site_${"0".repeat(12)}_${"0".repeat(64)}`;
		expect(zeros.text).toBe(`${body}${crc32(body).toString(16).padStart(8, "0")}`);
	});

	test("is read back as it was minted, for every kind", () => {
		fc.assert(
			fc.property(kind, entropy, (wanted, random) => {
				const { text, ...minted } = mintToken(wanted, random);
				expect(parseToken(text)).toEqual(minted);
				expect(text).toMatch(/^mst_[a-z]+_[0-9a-f]{12}_[0-9a-f]{72}$/);
			}),
		);
	});

	test("with any one character changed is no key: the checksum finds every typing error", () => {
		const alphabet = fc.constantFrom(...Array.from("0123456789abcdefghijklmnopqrstuvwxyzABCDEF_- "));
		fc.assert(
			fc.property(kind, entropy, fc.nat(), alphabet, (wanted, random, at, letter) => {
				const { text } = mintToken(wanted, random);
				const index = at % text.length;
				fc.pre(text[index] !== letter);
				expect(parseToken(text.slice(0, index) + letter + text.slice(index + 1))).toBeUndefined();
			}),
		);
	});

	test.each([
		["nothing", ""],
		["its prefix alone", "mst_site_"],
		["upper case", zeros.text.toUpperCase()],
		["a space before", ` ${zeros.text}`],
		["a line feed after", `${zeros.text}\n`],
		["a character too few", zeros.text.slice(0, -1)],
		["a character too many", `${zeros.text}0`],
		["another kind over the same rest", zeros.text.replace("_site_", "_host_")],
		["a kind that is none", zeros.text.replace("_site_", "_auto_")],
	])("%s is no key", (_, text) => {
		expect(parseToken(text)).toBeUndefined();
	});

	test("arbitrary text is no key and reading it never throws", () => {
		fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => parseToken(text) === undefined));
	});

	test("a malformed key still says which kind was meant", () => {
		expect(claimedKind("mst_worker_oops")).toBe("worker");
		expect(claimedKind("mst_auto_oops")).toBeUndefined();
	});

	test.each([0, 37, 39])("is never minted from %d random bytes", (length) => {
		expect(() => mintToken("site", new Uint8Array(length))).toThrow(RangeError);
	});

	test("its fingerprint is the first four hex digits of SHA-256 of the secret, upper case", () => {
		expect(fingerprint(zeros.secret)).toBe(createHash("sha256").update("0".repeat(64)).digest("hex").slice(0, 4).toUpperCase());
	});
});

test("bytes are the same when they are equal, and only then; lengths may differ", () => {
	fc.assert(
		fc.property(fc.uint8Array(), fc.uint8Array(), (left, right) => {
			expect(sameBytes(left, right)).toBe(Buffer.compare(left, right) === 0);
			expect(sameBytes(left, Uint8Array.from(left))).toBe(true);
		}),
	);
});
