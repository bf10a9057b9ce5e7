import { expect, test } from "bun:test";
import type { EnrollAnswer } from "../../../worker/client.ts";
import type { Enrollment } from "../../../worker/enrollment.ts";
import { explainLostState } from "../../../worker/lost-state.ts";
import type { Refusal } from "../../../src/protocol/codes.ts";

function answering(answer: EnrollAnswer): Enrollment {
	const never = () => {
		throw new Error("not asked for");
	};
	return { signed: false, send: () => Promise.resolve(answer), keep: never, forget: never, correctClock: never };
}

const refused = (reason: Refusal): EnrollAnswer => ({
	kind: "replied",
	reply: { __typename: "EnrollmentRejected", reason, message: "said", retryAfterSeconds: null, serverTime: "2026-11-21T05:00:00.000Z" },
});
const ask = async (answer: EnrollAnswer, kind: "host" | "enrollment") => {
	return explainLostState(answering(answer), kind, "/state").send(false, new AbortController().signal);
};

test.each([
	["already_consumed", "host", "regenerateHostToken"],
	["race_consumed", "host", "regenerateHostToken"],
	["exhausted", "host", "regenerateHostToken"],
	["exhausted", "enrollment", "createEnrollmentKey"],
] as const)("H14: %s of a key of kind %s says that the state directory is empty and how to get a new one", async (reason, kind, how) => {
	const answer = await ask(refused(reason), kind);

	const reply = answer.kind === "replied" && answer.reply.__typename === "EnrollmentRejected" ? answer.reply : undefined;
	expect(reply?.reason).toBe(reason);
	expect(reply?.message).toStartWith('said; the state directory "/state" is empty');
	expect(reply?.message).toContain(how);
});

test.each([
	["host", refused("expired")],
	["host", refused("overloaded")],
	["host", { kind: "unanswered", why: "nobody", permanent: false }],
	["enrollment", refused("already_consumed")],
] as const)("H14: with a key of kind %s any other answer stays as it is: %j", async (kind, answer) => {
	expect(await ask(answer, kind)).toEqual(answer);
});

test("H14: with a credential it is the place on the mesh that was lost, and no state directory is called empty", async () => {
	const enrollment = explainLostState(answering(refused("already_consumed")), "host", "/state", () => true);
	const answer = await enrollment.send(true, new AbortController().signal);

	const reply = answer.kind === "replied" && answer.reply.__typename === "EnrollmentRejected" ? answer.reply : undefined;
	expect(reply?.message).toStartWith("said; this host lost its place on the mesh");
	expect(reply?.message).toContain("regenerateHostToken");
});
