import { expect, test } from "bun:test";
import { HubBell } from "../../../src/commands/hub.ts";

/** As the hub hangs them up. */
function hung(bells: Map<string, readonly HubBell[]>, key: string): HubBell {
	const bell = new HubBell("ten_1", key, bells);
	bells.set(key, [...(bells.get(key) ?? []), bell]);
	return bell;
}

test("H13: of two who wait for the same, the one that leaves does not take the other's bell along", () => {
	const bells = new Map<string, readonly HubBell[]>();
	const [first, second] = [hung(bells, "w wrk_1"), hung(bells, "w wrk_1")];
	first.close();
	first.close();
	expect(bells.get("w wrk_1")).toEqual([second]);
});

test("G7: when the last has left nothing is kept of what was waited for, and nothing else goes with it", () => {
	const bells = new Map<string, readonly HubBell[]>();
	const [only, other] = [hung(bells, "w wrk_1"), hung(bells, "o cmd_1")];
	only.close();
	expect([...bells]).toEqual([["o cmd_1", [other]]]);
	other.close();
	other.close();
	expect(bells.size).toBe(0);
});
