import type { Refusal } from "../src/protocol/codes.ts";
import type { EnrollAnswer } from "./client.ts";
import type { Enrollment } from "./enrollment.ts";
import type { EnrollKey } from "./strategy.ts";

/** Refusals of a key that had let somebody in before, most likely this very host before its state was lost, and who makes a new one. */
const usedBefore: Partial<Record<EnrollKey["kind"], { readonly reasons: readonly Refusal[]; readonly what: string; readonly by: string }>> =
	{
		host: { reasons: ["already_consumed", "race_consumed", "exhausted"], what: "token", by: "regenerateHostToken" },
		enrollment: { reasons: ["exhausted"], what: "key", by: "createEnrollmentKey" },
	};

/**
 * An enrollment whose refusal of a used key says what that means here (H14): the state directory holds no credential although one was given out, so a
 * container came up without its volume, and only a new token helps. With a credential (`isKept`) it was the mesh's login that was lost.
 */
export function explainLostState(
	enrollment: Enrollment,
	kind: EnrollKey["kind"],
	stateDir: string,
	isKept: () => boolean = () => false,
): Enrollment {
	return { ...enrollment, send: async (renew, signal) => explain(await enrollment.send(renew, signal), kind, stateDir, isKept()) };
}

function explain(answer: EnrollAnswer, kind: EnrollKey["kind"], stateDir: string, kept: boolean): EnrollAnswer {
	if (answer.kind !== "replied" || answer.reply.__typename !== "EnrollmentRejected") return answer;
	const { reason, message } = answer.reply;
	const used = usedBefore[kind];
	if (used === undefined || !used.reasons.includes(reason)) return answer;
	const means = `a new ${used.what} is needed, an admin makes it with ${used.by} and it goes into MUSTER_ENROLL_TOKEN`;
	if (kept) return { ...answer, reply: { ...answer.reply, message: `${message}; this host lost its place on the mesh: ${means}` } };
	const empty = `the state directory "${stateDir}" is empty, no credential is kept there`;
	const remedy = `if this host was enrolled before, its volume was lost: ${means}`;
	return { ...answer, reply: { ...answer.reply, message: `${message}; ${empty}; ${remedy}` } };
}
