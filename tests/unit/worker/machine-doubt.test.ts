import { describe, expect, test } from "bun:test";
import { machine } from "../../../worker/machine.ts";
import type { Event, Link, State } from "../../../worker/machine-state.ts";

const link: Link = { again: undefined, entry: undefined, failures: 0, doubt: undefined, replaced: 0, why: "" };
const closed = (code: number, upgradeStatus?: number, nowMs = 0): Event => ({
	kind: "closed",
	code,
	why: `closed ${code}`,
	upgradeStatus,
	nowMs,
});

describe("a doubted credential", () => {
	function refuseAt(times: readonly number[], verdict: "refused" | "accepted" | "unreachable" = "refused"): State {
		let state: State = { kind: "connecting", link };
		for (const nowMs of times) {
			if (state.kind === "stopping") return state;
			[state] = machine(state, closed(4403, undefined, nowMs));
			[state] = machine(state, { kind: "checked", verdict, nowMs });
			[state] = machine(state, { kind: "due" });
		}
		return state;
	}

	test("B6: is believed after three refusals over two minutes", () => {
		expect(refuseAt([0, 60_000, 120_000])).toEqual({ kind: "stopping", code: 77 });
	});

	test("A5 B6: once believed, a worker with a key that may be used again enrolls under a new id, and says why", () => {
		const doubted: Link = { ...link, again: { signed: true }, doubt: { refusals: 2, sinceMs: 0 } };
		const [next, effects] = machine(
			{ kind: "checking", link: doubted, refusal: "forbidden" },
			{ kind: "checked", verdict: "refused", nowMs: 120_000 },
		);

		expect(next).toMatchObject({ kind: "enrolling", claim: { thenExit: false, signed: true, again: true, renewed: false } });
		expect(effects.map(({ kind }) => kind)).toEqual(["log", "enroll"]);
		expect(effects[1]).toEqual({ kind: "enroll", renew: true });
		expect(JSON.stringify(effects[0])).toContain("refused this worker's API key 3 times (forbidden)");
	});

	test("B6: a key that is good under another name is no reason to enroll again", () => {
		const doubted: Link = { ...link, again: { signed: false }, doubt: { refusals: 2, sinceMs: 0 } };
		const [next] = machine(
			{ kind: "checking", link: doubted, refusal: "forbidden" },
			{ kind: "checked", verdict: "accepted", nowMs: 120_000 },
		);

		expect(next).toEqual({ kind: "stopping", code: 77 });
	});

	test("B6: is not believed earlier, however often it is refused", () => {
		expect(refuseAt(Array.from({ length: 50 }, (_, index) => index * 2_000)).kind).toBe("connecting");
	});

	test("B6: is not believed after two refusals, however far apart", () => {
		expect(refuseAt([0, 3_600_000]).kind).toBe("connecting");
	});

	test("B6: is never believed from a network that answers in the server's place", () => {
		expect(refuseAt([0, 60_000, 120_000, 180_000, 240_000], "unreachable").kind).toBe("connecting");
	});

	test("B6: is trusted again after one heartbeat", () => {
		const doubted: Link = { ...link, failures: 4, doubt: { refusals: 2, sinceMs: 0 } };
		const [next] = machine({ kind: "connected", link: doubted, sinceMs: 0 }, { kind: "beatAnswered", nextInSeconds: 3 });

		expect(next).toEqual({ kind: "connected", link, sinceMs: 0 });
	});
});
