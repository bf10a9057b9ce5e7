import { expect, test } from "bun:test";
import { isKnownDriverFault } from "../../../src/db/client.ts";
import { LinkError } from "../../../src/db/link.ts";
import { retryable, type TxPhase } from "../../../src/db/tx.ts";

const phases: readonly TxPhase[] = ["begin", "work", "commit"];
const lost = new LinkError("CONNECTION_CLOSED", "gone");

function refused(code: string, message = "refused"): Error {
	return Object.assign(new Error(message), { name: "PostgresError", code });
}

test("a transaction that lost to another one is begun anew, whenever it learns of it", () => {
	for (const code of ["40001", "40P01"]) for (const phase of phases) expect(retryable(refused(code), phase)).toBe("conflict");
	expect(retryable(refused("0A000", "cached plan must not change result type"), "work")).toBe("conflict");
	expect(retryable(refused("0A000", "not supported"), "work")).toBeUndefined();
});

test("a connection lost before commit is worth another try, lost during commit it is not: that could store it twice", () => {
	expect(phases.map((phase) => retryable(lost, phase))).toEqual(["connection", "connection", undefined]);
	for (const code of ["ECONNREFUSED", "ECONNRESET", "CONNECT_TIMEOUT", "57P01", "57P03", "53300"]) {
		expect(retryable(new LinkError(code, "away"), "work")).toBe("connection");
		expect(retryable(new LinkError(code, "away"), "commit")).toBeUndefined();
	}
});

test("the reason is found behind the error that wraps it", () => {
	expect(retryable(new Error("cannot enroll", { cause: new Error("batch", { cause: refused("40001") }) }), "commit")).toBe("conflict");
	expect(retryable(new Error("cannot enroll", { cause: lost }), "work")).toBe("connection");
});

test("what the database or the work refuses is not tried again", () => {
	for (const code of ["23505", "57014", "22P05", "42P01", "28P01", "25P02"]) {
		for (const phase of phases) expect(retryable(refused(code), phase)).toBeUndefined();
	}
	for (const value of [new Error("no"), "40001", undefined, null, { code: "40001" }]) expect(retryable(value, "work")).toBeUndefined();
});

test("only the driver's write to a connection that was cut is taken for its known fault", () => {
	function thrown(message: string, stack: string): TypeError {
		return Object.assign(new TypeError(message), { stack: `TypeError: ${message}\n    at ${stack}` });
	}
	const bun = "nextWrite (/srv/node_modules/postgres/src/connection.js:253:22)";
	const deno = "Immediate.nextWrite (file:///srv/node_modules/postgres/src/connection.js:253:22)";
	expect(isKnownDriverFault(thrown("null is not an object (evaluating 'socket.write')", bun))).toBe(true);
	expect(isKnownDriverFault(thrown("Cannot read properties of null (reading 'write')", deno))).toBe(true);
	expect(isKnownDriverFault(thrown("Cannot read properties of null (reading 'write')", "save (/srv/src/secrets.ts:3:1)"))).toBe(false);
	expect(isKnownDriverFault(thrown("Cannot read properties of null (reading 'query')", deno))).toBe(false);
	expect(isKnownDriverFault(new Error("Cannot read properties of null (reading 'write')"))).toBe(false);
	expect(isKnownDriverFault(undefined)).toBe(false);
});
