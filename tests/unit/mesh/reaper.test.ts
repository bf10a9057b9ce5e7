import { describe, expect, test } from "bun:test";
import type { ClaimedKey } from "../../../src/mesh/key-store.ts";
import { type Seen, stepAfter } from "../../../src/mesh/reaper.ts";
import { judge } from "../../../src/mesh/watch.ts";

const now = Date.parse("2026-11-21T05:00:00Z");
const alive = "2026-11-21T05:09:00.000001Z";
const dead = "2026-11-21T04:58:00.000001Z";
const unheld: ClaimedKey = {
	id: "mkey_1",
	remoteId: "1",
	remoteCreatedAt: now,
	expiration: alive,
	askedAt: now,
	attempts: 1,
	wasHeld: false,
	hostGone: false,
	ended: false,
};
const held: ClaimedKey = { ...unheld, wasHeld: true };
const gone: ClaimedKey = { ...held, hostGone: true };
const nothing: Seen = { ended: undefined, removed: undefined };

describe("a key that nobody holds is not forgotten before nobody can use it (H6)", () => {
	const rows: readonly (readonly [string, ClaimedKey, Seen, string])[] = [
		["the mesh is down", unheld, nothing, "again"],
		[
			"the mesh does not have it yet: the answer was lost, the key may be on its way",
			{ ...unheld, remoteId: null },
			{ ...nothing, ended: false },
			"again",
		],
		["expired", unheld, { ...nothing, ended: true }, "forget"],
		["not found until its time was over", { ...unheld, remoteId: null, expiration: dead }, { ...nothing, ended: false }, "forget"],
		["the mesh is down, and its time is over", { ...unheld, expiration: dead }, nothing, "forget"],
		["replaced and expired: its node may be there", held, { ...nothing, ended: true }, "ended"],
		["its host is gone, the mesh is down", { ...gone, expiration: dead }, nothing, "again"],
		["its host is gone, the key is not ended", gone, { ended: undefined, removed: 0 }, "again"],
		["its host is gone, no node is seen at the first look", gone, { ended: true, removed: 0 }, "ended"],
		["the same, after an outage in which it was claimed in vain", { ...gone, attempts: 9 }, { ended: true, removed: 0 }, "ended"],
		["its host is gone, no node is seen at the second look", { ...gone, ended: true, attempts: 2 }, { ended: true, removed: 0 }, "forget"],
		["its host is gone, a node was removed: looked at again", { ...gone, attempts: 9 }, { ended: true, removed: 1 }, "again"],
		["its host is gone after it was ended", { ...gone, ended: true, attempts: 3 }, { ended: undefined, removed: 0 }, "forget"],
	];
	test.each(rows)("%s", (_, key, seen, kind) => {
		expect(stepAfter(key, seen, now).kind).toBe(kind as never);
	});

	test("it asks less and less often, and at least once a minute", () => {
		const waits = [1, 2, 5, 6, 100].map((attempts) => stepAfter({ ...unheld, attempts }, nothing, now));
		expect(waits.map((step) => (step.kind === "again" ? step.afterMs : 0))).toEqual([2_000, 4_000, 32_000, 60_000, 60_000]);
	});
});

describe("when the mesh counts as down (H8)", () => {
	const down = { ok: false, reason: "why" };
	const up = { ok: true, reason: undefined };
	test.each([
		["one bad probe is no outage", "up", 0, down, { judged: "up", bad: 1 }],
		["two in a row are", "up", 1, down, { judged: "down", bad: 2 }],
		["one good probe is the end of it", "down", 7, up, { judged: "up", bad: 0 }],
		["nothing is said before it is known", undefined, 0, down, { judged: undefined, bad: 1 }],
	] as const)("%s", (_, before, bad, state, after) => {
		expect(judge(before, bad, state)).toEqual(after);
	});
});
