import { describe, expect, test } from "bun:test";
import { retryable, type TxPhase } from "../../../src/db/tx.ts";

const phases = ["begin", "work", "commit"] as const satisfies readonly TxPhase[];

function coded(code: string, message = "x"): Error {
	return Object.assign(new Error(message), { code });
}

describe("a transaction that the server rolled back because of another one is run again, whenever that happened", () => {
	test.each(["40001", "40P01"])("%s", (code) => {
		expect(phases.map((phase) => retryable(coded(code), phase))).toEqual(["conflict", "conflict", "conflict"]);
		expect(retryable(new Error("wrapped", { cause: coded(code) }), "work")).toBe("conflict");
	});

	test("a plan that a migration made stale", () => {
		expect(retryable(coded("0A000", "cached plan must not change result type"), "work")).toBe("conflict");
		expect(retryable(coded("0A000", "COPY is not supported"), "work")).toBeUndefined();
	});
});

describe("a connection lost before the commit was sent is a reason to run again; lost during the commit it is not: it could be done twice", () => {
	test.each(["CONNECTION_CLOSED", "ECONNREFUSED", "ECONNRESET", "57P01", "57P03", "08006"])("%s", (code) => {
		expect(phases.map((phase) => retryable(coded(code), phase))).toEqual(["connection", "connection", undefined]);
	});
});

describe("everything else is not run again", () => {
	test.each(["23505", "23514", "57014", "42601", "25P02", "UNDEFINED_VALUE"])("%s", (code) => {
		expect(phases.map((phase) => retryable(coded(code), phase))).toEqual([undefined, undefined, undefined]);
	});

	test.each([new Error("no code"), "40001", { code: "40001" }, undefined])("%p", (error) => {
		expect(phases.map((phase) => retryable(error, phase))).toEqual([undefined, undefined, undefined]);
	});
});
