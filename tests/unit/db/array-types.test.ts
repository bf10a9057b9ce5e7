import { expect, test } from "bun:test";
import fc from "fast-check";
import { readArray, writeArray } from "../../../src/db/array-types.ts";

test("any texts survive the array literal, with nulls and nested", () => {
	const element = fc.oneof(
		fc.string({ unit: "binary" }),
		fc.constant(null),
		fc.constantFrom("", "NULL", "null", '"', "\\", "{}", ",", " a "),
	);
	fc.assert(
		fc.property(fc.array(element), (values) => {
			expect(readArray(writeArray(values), (text) => text)).toEqual(values);
			expect(readArray(writeArray([values, values]), (text) => text)).toEqual([values, values]);
		}),
	);
});

test("PostgreSQL's own way of writing is read: bare elements, bounds, nested lists", () => {
	expect(readArray("{1,NULL,3}", Number)).toEqual([1, null, 3]);
	expect(readArray("[0:1]={a,b}", String)).toEqual(["a", "b"]);
	expect(readArray("{{1,2},{3,4}}", Number)).toEqual([
		[1, 2],
		[3, 4],
	]);
	expect(readArray("{}", Number)).toEqual([]);
});

test("an array with undefined in it, or something that is no array, is refused", () => {
	expect(() => writeArray(["a", undefined])).toThrow(/undefined/);
	expect(() => writeArray("a")).toThrow(/array/);
	expect(() => readArray('{"a', String)).toThrow(/without an end/);
});
