import { describe, expect, test } from "bun:test";
import { eventOfEnd } from "../../../src/fuse/docker.ts";
import { type FuseStep, type FusionRecord, isFusing } from "../../../src/fuse/fusion.ts";
import { advance, firstMove, type FusionEvent, type Move } from "../../../src/fuse/machine.ts";
import { afterError } from "../../../src/fuse/portainer.ts";
import { PortainerError } from "../../../src/fuse/portainer-client.ts";
import { EngineError } from "../../../src/engine/error.ts";

type Place = Pick<FusionRecord, "provider" | "step" | "outcome">;
const docker = (step: FuseStep, outcome: FusionRecord["outcome"] = null): Place => ({ provider: "DOCKER", step, outcome });
const portainer = (step: FuseStep, outcome: FusionRecord["outcome"] = null): Place => ({ provider: "PORTAINER", step, outcome });

const events = {
	proved: { kind: "proved", engineId: "E" },
	granted: { kind: "granted" },
	registered: { kind: "registered", environmentId: 7 },
	deployed: { kind: "deployed" },
	"checked-in": { kind: "checked-in" },
	connected: { kind: "connected", engineId: "E" },
	failed: { kind: "failed", source: "docker_error", message: "why" },
	asked: { kind: "undo", why: "asked" },
	"engine-changed": { kind: "undo", why: "engine-changed" },
	"host-gone": { kind: "undo", why: "host-gone" },
	"agent-gone": { kind: "agent-gone" },
	"environment-gone": { kind: "environment-gone" },
} as const satisfies Record<string, FusionEvent>;
type Name = keyof typeof events;

const failure = { source: "docker_error", message: "why" } as const;
const revoke = { step: "ENDED", order: "fuse.revoke" } as const;
const remove = { step: "REMOVE_AGENT", order: "agent.remove" } as const;
const forget = { step: "REMOVE_ENVIRONMENT" } as const;
const fusing = (undoing: Move, gone: Move): Partial<Record<Name, Move>> => ({
	failed: { ...undoing, life: "fuse-failed", outcome: "FAILED", failure },
	asked: { ...undoing, life: "fuse-failed", outcome: "CANCELLED" },
	"host-gone": { ...gone, life: "fuse-failed", outcome: "HOST_GONE" },
});
const fused = (undoing: Move, gone: Move): Partial<Record<Name, Move>> => ({
	asked: { ...undoing, life: "unfuse", outcome: "UNFUSED" },
	"engine-changed": { ...undoing, life: "unfuse", outcome: "ENGINE_CHANGED" },
	"host-gone": { ...gone, life: "unfuse", outcome: "HOST_GONE" },
});
const gone = { step: "ENDED" } as const;

/** Every place with the events that move it; an event that is not named comes too late or changes nothing. */
const table: readonly (readonly [Place, Partial<Record<Name, Move>>])[] = [
	[docker("PROVE"), { ...fusing(revoke, gone), proved: { step: "GRANT", order: "fuse.grant", engineId: "E" } }],
	[docker("GRANT"), { ...fusing(revoke, gone), granted: { step: "FUSED", life: "fused" } }],
	[docker("FUSED"), fused(revoke, gone)],
	[docker("ENDED", "FAILED"), {}],
	[docker("ENDED", "UNFUSED"), {}],
	[portainer("REGISTER"), { ...fusing(forget, forget), registered: { step: "DEPLOY", order: "agent.deploy", environmentId: 7 } }],
	[portainer("DEPLOY"), { ...fusing(remove, forget), deployed: { step: "CHECK_IN" } }],
	[portainer("CHECK_IN"), { ...fusing(remove, forget), "checked-in": { step: "CONNECT" } }],
	[portainer("CONNECT"), { ...fusing(remove, forget), connected: { step: "FUSED", life: "fused", engineId: "E" } }],
	[portainer("FUSED"), fused(remove, forget)],
	[portainer("REMOVE_AGENT", "UNFUSED"), { "agent-gone": forget, "host-gone": forget }],
	[portainer("REMOVE_ENVIRONMENT", "UNFUSED"), { "environment-gone": gone }],
	[portainer("ENDED", "HOST_GONE"), {}],
];

for (const [place, moves] of table) {
	describe(`a fusion by ${place.provider} at ${place.step}${place.outcome === null ? "" : ` (${place.outcome})`} (H11)`, () => {
		for (const [name, event] of Object.entries(events)) {
			const to = moves[name as Name];
			test(`${to === undefined ? "stays" : `goes to ${to.step}`} on ${name}`, () => {
				expect(advance(place, event)).toEqual(to as Move);
			});
		}
	});
}

test("the agent is never left running beside an environment that is gone, while its host is there", () => {
	for (const [place] of table) {
		for (const event of [events.failed, events.asked, events["engine-changed"]]) {
			const move = advance(place, event);
			if (place.provider === "PORTAINER" && place.step !== "REGISTER" && move !== undefined) expect(move).toMatchObject(remove);
		}
	}
});

test("a host is never FUSED without a pinned engine", () => {
	expect(firstMove("DOCKER")).toEqual({ step: "PROVE", order: "fuse.prove" });
	expect(firstMove("PORTAINER")).toEqual({ step: "REGISTER" });
	for (const [place] of table) {
		for (const event of Object.values(events)) {
			if (advance(place, event)?.life !== "fused") continue;
			expect(event.kind === "connected" || place.step === "GRANT").toBe(true);
			expect(isFusing(place)).toBe(true);
		}
	}
});

describe("what the end of a command means", () => {
	const end = (
		kind: "fuse.prove" | "fuse.grant" | "agent.deploy" | "agent.remove",
		state: "SUCCEEDED" | "FAILED" | "CANCELLED" | "EXPIRED",
		result: unknown = null,
	) => ({
		kind,
		state,
		result,
		errorMessage: state === "FAILED" ? "why" : null,
	});
	test("a step that went well leads on", () => {
		expect(eventOfEnd({ step: "PROVE" }, end("fuse.prove", "SUCCEEDED", { engineId: "E" }))).toEqual(events.proved);
		expect(eventOfEnd({ step: "GRANT" }, end("fuse.grant", "SUCCEEDED"))).toEqual(events.granted);
		expect(eventOfEnd({ step: "DEPLOY" }, end("agent.deploy", "SUCCEEDED"))).toEqual(events.deployed);
	});
	test.each(["FAILED", "CANCELLED"] as const)("one that %s is Docker's fault, one that EXPIRED nobody's in time", (state) => {
		expect(eventOfEnd({ step: "PROVE" }, end("fuse.prove", state))).toMatchObject({ kind: "failed", source: "docker_error" });
		expect(eventOfEnd({ step: "GRANT" }, end("fuse.grant", "EXPIRED"))).toMatchObject({ kind: "failed", source: "watchdog_timeout" });
	});
	test.each(["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"] as const)(
		"the environment goes however removing the agent ended: %s",
		(state) => {
			expect(eventOfEnd({ step: "REMOVE_AGENT" }, end("agent.remove", state))).toEqual({ kind: "agent-gone" });
		},
	);
});

describe("what Portainer's errors come to", () => {
	const ways: readonly (readonly [string, FuseStep, unknown, "wait" | "event"])[] = [
		["no answer", "REGISTER", new PortainerError("x", undefined), "wait"],
		["500", "CHECK_IN", new PortainerError("x", 500), "wait"],
		["429", "REGISTER", new PortainerError("x", 429), "wait"],
		["401", "REGISTER", new PortainerError("x", 401), "event"],
		["a tunnel that is not up", "CONNECT", new EngineError("docker_unavailable", "x", { status: 500 }), "wait"],
		["a proxy that refuses", "CONNECT", new EngineError("docker_error", "x", { status: 403 }), "event"],
		["an answer that took too long", "CONNECT", new DOMException("late", "TimeoutError"), "wait"],
		["a refusal while undoing", "REMOVE_ENVIRONMENT", new PortainerError("x", 403), "wait"],
	];
	test.each(ways)("%s at %s", (_, step, error, kind) => {
		expect(afterError({ step, attempts: 3 }, error).kind).toBe(kind);
	});
	test("undoing is tried ever more seldom, at least once a minute", () => {
		const waits = [1, 2, 3, 4, 5, 6, 100].map((attempts) => {
			const result = afterError({ step: "REMOVE_ENVIRONMENT", attempts }, new Error("x"));
			return result.kind === "wait" ? result.afterSeconds : 0;
		});
		expect(waits).toEqual([1, 2, 5, 15, 30, 60, 60]);
	});
});
