import { describe, expect, test } from "bun:test";
import type { KeyName, SeenKey } from "../../../src/mesh/port.ts";
import { isSameKey } from "../../../src/mesh/same-key.ts";

const at = Date.parse("2026-11-21T05:00:00.258Z");
const mark = "2026-11-21T05:10:00.123456Z";
const ours: KeyName = { remoteId: "3", remoteCreatedAt: at, expiration: mark, askedAt: at - 5 };
/** Written down before the mesh's moment was. */
const old: KeyName = { ...ours, remoteCreatedAt: null };
const seen: SeenKey = { id: "3", createdAt: at, expiration: mark };

describe("a key is known by more than an id, which means another's after the mesh got a new database (H6)", () => {
	const rows: readonly (readonly [string, KeyName, SeenKey, boolean])[] = [
		["as it was made", ours, seen, true],
		["ended since, which moved its end", ours, { ...seen, expiration: "2026-11-21T05:01:00Z" }, true],
		["a moment that a database rounded", ours, { ...seen, createdAt: at + 1 }, true],
		["another id", ours, { ...seen, id: "4" }, false],
		["its id was never heard", { ...ours, remoteId: null }, seen, false],
		["made at another moment, though in the same second", ours, { ...seen, createdAt: at + 300 }, false],
		["the mesh does not say when", ours, { ...seen, createdAt: null }, false],
		["an old row, by its mark", old, { ...seen, createdAt: null }, true],
		["an old row, ended since, by about when it was made", old, { ...seen, expiration: null }, true],
		["an old row, and a key made a day later", old, { ...seen, createdAt: at + 86_400_000, expiration: null }, false],
		["an old row, and nothing said of the key", old, { id: "3", createdAt: null, expiration: null }, false],
	];
	test.each(rows)("%s", (_, key, shown, same) => {
		expect(isSameKey(key, shown)).toBe(same);
	});
});
