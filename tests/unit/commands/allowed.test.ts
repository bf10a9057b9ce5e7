import { describe, expect, test } from "bun:test";
import { refusalOf } from "../../../src/commands/allowed.ts";
import type { HostState, StableState } from "../../../src/hosts/lifecycle.ts";
import { type CommandKind, commandKinds } from "../../../src/protocol/commands.ts";

const lives: readonly (readonly [HostState, StableState])[] = [
	["PENDING", "PENDING"],
	["MONITORING", "MONITORING"],
	["FUSING", "FUSING"],
	["FUSED", "FUSED"],
	["DEGRADED", "MONITORING"],
	["DEGRADED", "FUSED"],
];
/** For each need, the places in a host's life that fill it. */
const allowed = {
	none: lives.map(String),
	monitoring: ["MONITORING,MONITORING", "FUSING,FUSING", "FUSED,FUSED", "DEGRADED,MONITORING", "DEGRADED,FUSED"],
	fused: ["FUSED,FUSED", "DEGRADED,FUSED"],
	fusing: ["FUSING,FUSING"],
};

describe("what a host must be for a command (H10, H12, H13)", () => {
	const cases = (Object.keys(commandKinds) as CommandKind[]).flatMap((kind) => lives.map((life) => [kind, ...life] as const));
	test.each(cases)("%s on a host that is %s, %s before", (kind, state, lastKnownState) => {
		const refusal = refusalOf(kind, { name: "robot", state, lastKnownState });
		const { needs } = commandKinds[kind];
		expect(refusal === undefined).toBe(allowed[needs].includes(`${state},${lastKnownState}`));
		if (refusal === undefined) return;
		expect(refusal).toContain(`host "robot" is ${state}`);
		expect(refusal).toContain(needs === "monitoring" ? "enroll" : "fuseHost");
	});

	test("whatever changes a container needs a fused host", () => {
		const changing = (Object.keys(commandKinds) as CommandKind[]).filter((kind) =>
			/^(container\.(create|start|stop|restart|remove)|image|stack)/.test(kind),
		);
		expect(changing.filter((kind) => commandKinds[kind].needs !== "fused" || commandKinds[kind].lane !== "ordered")).toEqual([]);
	});
});
