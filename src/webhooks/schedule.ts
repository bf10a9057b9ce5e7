/**
 * When a message is sent again, and when not. Pure.
 *
 * | the attempt | then |
 * |---|---|
 * | 2xx | delivered |
 * | 410 Gone | disable the webhook: its receiver wants nothing more |
 * | 429, 503 with Retry-After | again, no sooner than both it and the schedule say |
 * | anything else: other statuses (redirects too), no answer, a refused address | again by the schedule |
 * | anything but 2xx and 410 at the last attempt | give up |
 *
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
 */
import { absurd } from "../lib/absurd.ts";

/** How an attempt ended. */
export type AttemptResult =
	/** @param retryAfterMs what the receiver asked for, null when it did not */
	| { readonly kind: "answered"; readonly status: number; readonly retryAfterMs: number | null }
	/** Nothing was sent, or no answer came. `why` is a sentence without a full stop. */
	| { readonly kind: "unanswered"; readonly why: string };

/** What becomes of the delivery. */
export type Next =
	| { readonly kind: "delivered" }
	| { readonly kind: "disable" }
	| { readonly kind: "retry"; readonly afterMs: number }
	| { readonly kind: "give-up" };

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

/** The waits between attempts, in milliseconds: ten attempts over about three days. */
export const waitsMs: readonly number[] = [
	5 * second,
	5 * minute,
	30 * minute,
	2 * hour,
	5 * hour,
	10 * hour,
	14 * hour,
	20 * hour,
	24 * hour,
];

/** No receiver puts a message off for longer than this. */
const retryAfterMsMax = 24 * hour;
/** A wait is up to a fifth longer, so that what failed together does not come back together. */
const jitterShare = 0.2;

/**
 * What becomes of a delivery after an attempt.
 * @param attempts how many there were, this one included
 * @param fraction uniform in [0, 1)
 */
export function nextStep(result: AttemptResult, attempts: number, fraction: number): Next {
	switch (result.kind) {
		case "answered": {
			if (result.status >= 200 && result.status < 300) return { kind: "delivered" };
			if (result.status === 410) return { kind: "disable" };
			const asked = result.status === 429 || result.status === 503 ? (result.retryAfterMs ?? 0) : 0;
			return again(attempts, Math.min(asked, retryAfterMsMax), fraction);
		}
		case "unanswered":
			return again(attempts, 0, fraction);
		default:
			return absurd(result);
	}
}

function again(attempts: number, atLeastMs: number, fraction: number): Next {
	const waitMs = waitsMs[attempts - 1];
	if (waitMs === undefined) return { kind: "give-up" };
	return { kind: "retry", afterMs: Math.floor(Math.max(waitMs, atLeastMs) * (1 + jitterShare * fraction)) };
}

/**
 * Reads a Retry-After header: seconds, or a date relative to `now` (milliseconds since the epoch). Null for anything else; never negative.
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function readRetryAfter(header: string | undefined, now: number): number | null {
	if (header === undefined) return null;
	const text = header.trim();
	if (/^\d{1,9}$/.test(text)) return Number(text) * second;
	// A date begins with its day's name; Date.parse alone would also take "-5" for a year.
	const at = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN;
	return Number.isNaN(at) ? null : Math.max(0, at - now);
}
