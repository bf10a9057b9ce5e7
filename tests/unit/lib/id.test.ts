import { expect, test } from "bun:test";
import { type IdKind, idKind, idMint, idPrefixes } from "../../../src/lib/id.ts";
import type { Random } from "../../../src/lib/random.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { testClock } from "../../support/clock.ts";

const kinds = Object.keys(idPrefixes) as IdKind[];

test.each(kinds)("an id of a %s says so by its prefix and has 26 characters after it", (kind) => {
	const id = idMint(testClock(), systemRandom)(kind);
	expect(id).toMatch(new RegExp(`^${idPrefixes[kind]}_[0-9a-hjkmnp-tv-z]{26}$`));
	expect(idKind(id)).toBe(kind);
});

test("ids of one millisecond strictly increase and differ", () => {
	const mint = idMint(testClock(), systemRandom);
	const ids = Array.from({ length: 10_000 }, () => mint("worker"));
	expect([...ids].sort()).toEqual(ids);
	expect(new Set(ids).size).toBe(ids.length);
});

test("ids increase although the clock went back", () => {
	const clock = testClock();
	const mint = idMint(clock, systemRandom);
	const before = mint("worker");
	clock.pass(-3_600_000);
	expect(mint("worker") > before).toBe(true);
});

test("even with the largest random bytes a millisecond's ids increase", () => {
	const largest: Random = { bytes: (length) => new Uint8Array(length).fill(255), fraction: () => 0 };
	const mint = idMint(testClock(), largest);
	const ids = Array.from({ length: 1_000 }, () => mint("host"));
	expect([...ids].sort()).toEqual(ids);
});

test("an id of a later millisecond sorts after one of an earlier", () => {
	const clock = testClock();
	const mint = idMint(clock, systemRandom);
	const before = mint("worker");
	clock.pass(1);
	expect(mint("worker") > before).toBe(true);
});

test.each(["", "mine", "worker-7", "_x", "wrkx_1"])("%p is an id of somebody's own choosing", (id) => {
	expect(idKind(id)).toBeUndefined();
});
