import { describe, expect, test } from "bun:test";
import { type Life, type LifeEvent, lifeEvents, transition } from "../../../src/hosts/lifecycle.ts";

const life = (state: Life["state"], lastKnownState: Life["lastKnownState"]): Life => ({ state, lastKnownState });
const pending = life("PENDING", "PENDING");
const monitoring = life("MONITORING", "MONITORING");
const fusing = life("FUSING", "FUSING");
const fused = life("FUSED", "FUSED");
const lostMonitoring = life("DEGRADED", "MONITORING");
const lostFused = life("DEGRADED", "FUSED");

/** Every state with the events that move it; an event that is not named changes nothing. */
const table: readonly { readonly from: Life; readonly moves: Partial<Record<LifeEvent, Life>> }[] = [
	{ from: pending, moves: { enrolled: monitoring } },
	{ from: monitoring, moves: { fuse: fusing, stale: lostMonitoring } },
	{ from: fusing, moves: { fused, "fuse-failed": monitoring } },
	{ from: fused, moves: { unfuse: monitoring, stale: lostFused } },
	{ from: lostMonitoring, moves: { heartbeat: monitoring } },
	{ from: lostFused, moves: { heartbeat: fused, unfuse: lostMonitoring } },
];

for (const { from, moves } of table) {
	const place = from.state === "DEGRADED" ? `DEGRADED over ${from.lastKnownState}` : from.state;
	describe(`a host that is ${place} (H10 to H13)`, () => {
		for (const event of lifeEvents) {
			const to = moves[event];
			const answer = to === undefined ? "stays" : `becomes ${to.state}${to.state === "DEGRADED" ? ` over ${to.lastKnownState}` : ""}`;
			test(`${answer} on "${event}"`, () => {
				expect(transition(from, event)).toEqual(to as Life);
			});
		}
	});
}

test("the last known state differs from the state only while DEGRADED", () => {
	for (const { from } of table) {
		for (const event of lifeEvents) {
			const to = transition(from, event);
			if (to !== undefined && to.state !== "DEGRADED") expect(to.lastKnownState).toBe(to.state);
		}
	}
});

test("a host that is lost and heard again is what it was (H13)", () => {
	for (const from of [monitoring, fused]) {
		const lost = transition(from, "stale");
		expect(lost?.state).toBe("DEGRADED");
		expect(lost === undefined ? undefined : transition(lost, "heartbeat")).toEqual(from);
	}
});
