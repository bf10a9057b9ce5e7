import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type AttemptResult, nextStep, readRetryAfter, waitsMs } from "../../../src/webhooks/schedule.ts";

const answered = (status: number, retryAfterMs: number | null = null): AttemptResult => ({ kind: "answered", status, retryAfterMs });
const unanswered: AttemptResult = { kind: "unanswered", why: "No answer: ECONNREFUSED" };
const last = waitsMs.length + 1;
const day = 86_400_000;

describe("what becomes of a delivery", () => {
	test.each([200, 201, 202, 204, 299])("%d has arrived, also at the last attempt", (status) => {
		for (const attempts of [1, 5, last, last + 3]) expect(nextStep(answered(status), attempts, 0.5)).toEqual({ kind: "delivered" });
	});

	test("410 ends the webhook at any attempt: its receiver is not asked again", () => {
		for (const attempts of [1, 5, last]) expect(nextStep(answered(410), attempts, 0.5)).toEqual({ kind: "disable" });
	});

	test.each([100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 409, 429, 500, 502, 503, 504, 599, 0])(
		"%d is tried again: a message is not lost to a receiver's bad hour, and a redirect is no arrival",
		(status) => {
			expect(nextStep(answered(status), 1, 0)).toEqual({ kind: "retry", afterMs: 5_000 });
			expect(nextStep(answered(status), last, 0)).toEqual({ kind: "give-up" });
		},
	);

	test("no answer is tried again as the specification suggests, ten times in all, then given up", () => {
		const steps = Array.from({ length: 10 }, (_, index) => nextStep(unanswered, index + 1, 0));
		expect(steps.map((step) => (step.kind === "retry" ? step.afterMs / 1_000 : step.kind))).toEqual([
			5,
			300,
			1_800,
			7_200,
			18_000,
			36_000,
			50_400,
			72_000,
			86_400,
			"give-up",
		]);
	});

	test("attempts past the last, from servers that died, are given up too", () => {
		expect(nextStep(unanswered, last + 5, 0)).toEqual({ kind: "give-up" });
	});

	test("a wait is never shorter than the schedule and at most a fifth longer: messages that failed together spread", () => {
		fc.assert(
			fc.property(
				fc.integer({ min: 1, max: waitsMs.length }),
				fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
				(attempts, fraction) => {
					const step = nextStep(unanswered, attempts, fraction);
					const wait = waitsMs[attempts - 1] ?? 0;
					return step.kind === "retry" && step.afterMs >= wait && step.afterMs <= wait * 1.2;
				},
			),
		);
	});
});

describe("Retry-After", () => {
	test.each([
		[429, 60_000, 60_000],
		[503, 60_000, 60_000],
		// The schedule is longer: an eager receiver does not use up its attempts.
		[503, 1_000, 5_000],
		[429, 400 * day, day],
		// Only these two statuses give it a meaning here.
		[500, 60_000, 5_000],
		[302, 60_000, 5_000],
	])("%d asking for %d ms waits %d ms", (status, asked, waited) => {
		expect(nextStep(answered(status, asked), 1, 0)).toEqual({ kind: "retry", afterMs: waited });
	});

	const now = Date.parse("2026-11-21T11:00:00Z");
	test.each([
		["120", 120_000],
		[" 5 ", 5_000],
		["0", 0],
		["Sat, 21 Nov 2026 11:01:00 GMT", 60_000],
		["Sat, 21 Nov 2026 10:00:00 GMT", 0],
		["Saturday, 21-Nov-26 11:01:00 GMT", 60_000],
		["-5", null],
		["1.5", null],
		["soon", null],
		["", null],
		["99999999999999999999", null],
		[undefined, null],
	])("%p is read as %p ms", (header, ms) => {
		expect(readRetryAfter(header, now)).toBe(ms);
	});

	test("no header breaks the reading, whatever a receiver sends", () => {
		fc.assert(
			fc.property(fc.string(), (header) => {
				const ms = readRetryAfter(header, now);
				return ms === null || (ms >= 0 && Number.isFinite(ms));
			}),
		);
	});
});
