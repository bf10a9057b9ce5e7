import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeCursor, encodeCursor } from "../../../src/lib/cursor.ts";

test("a cursor stands for the very place it was made of", () => {
	fc.assert(
		fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }), (place) => {
			fc.pre(Buffer.byteLength(place) <= 300);
			expect(decodeCursor(encodeCursor(place))).toBe(place);
		}),
	);
});

test.each([
	["nothing", ""],
	["no base64url", "a+b/"],
	["padding", "YQ=="],
	["bits beyond the last byte", "YR"],
	["bytes that are no UTF-8", Buffer.from([0xff, 0xfe]).toString("base64url")],
	["a text of 401 characters", `${"YWFh".repeat(100)}Y`],
])("%s is no cursor", (_, cursor) => {
	expect(decodeCursor(cursor)).toBeUndefined();
});

test("whatever a client sends is read without a fault", () => {
	fc.assert(
		fc.property(fc.string({ unit: "binary" }), (text) => {
			const place = decodeCursor(text);
			if (place !== undefined) expect(encodeCursor(place)).toBe(text);
		}),
	);
});
