import { describe, expect, test } from "bun:test";
import { isConnectionFault } from "../../../src/db/faults.ts";

function coded(code: unknown, options: ErrorOptions = {}): Error {
	return Object.assign(new Error("x", options), { code });
}

describe("the database is away", () => {
	test.each([
		"CONNECTION_CLOSED",
		"CONNECTION_ENDED",
		"CONNECTION_DESTROYED",
		"CONNECT_TIMEOUT",
		"ECONNREFUSED",
		"ECONNRESET",
		"ENOENT",
		"EPIPE",
		"ETIMEDOUT",
		"08006",
		"57P01",
		"57P02",
		"57P03",
		"53300",
	])("with %s", (code) => {
		expect(isConnectionFault(coded(code))).toBe(true);
	});

	test("also as the cause of another error, however deep", () => {
		expect(isConnectionFault(new Error("a", { cause: new Error("b", { cause: coded("57P01") }) }))).toBe(true);
	});
});

describe("the database is there, and refused this one statement", () => {
	test.each(["23505", "23503", "40001", "40P01", "42P01", "22012", "57014", "25P02", "UNDEFINED_VALUE", "", 8006, undefined, null])(
		"with %p",
		(code) => {
			expect(isConnectionFault(coded(code))).toBe(false);
		},
	);

	test("what is no error has no say", () => {
		for (const value of ["CONNECTION_CLOSED", { code: "CONNECTION_CLOSED" }, null, undefined, 57]) {
			expect(isConnectionFault(value)).toBe(false);
		}
	});

	test("an error that is its own cause is judged and ends", () => {
		const loop = coded("23505");
		loop.cause = loop;
		expect(isConnectionFault(loop)).toBe(false);
	});
});
