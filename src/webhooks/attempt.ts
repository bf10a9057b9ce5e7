import { Webhook } from "standardwebhooks";
import type { Deps } from "../deps.ts";
import { codeOf, resolveTarget } from "./resolve.ts";
import { type AttemptResult, readRetryAfter } from "./schedule.ts";
import { type Answer, post } from "./send.ts";
import { type ClaimedDelivery, messageBody, secretPlace } from "./webhook.ts";

/** Connection errors after which nothing was sent, so that the next address of the name may be tried. */
const notConnected = ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"];

/**
 * Sends a delivery once: resolves its host, judges where that leads, signs with the time of this moment and POSTs. Never throws for what the
 * receiver or the network does. Throws VaultError when the secret cannot be opened, and when `closing` aborts. Waits at most `deadlineMs`.
 */
export async function attempt(
	deps: Pick<Deps, "clock" | "vault" | "settings">,
	delivery: ClaimedDelivery,
	options: { readonly deadlineMs: number; readonly closing: AbortSignal },
): Promise<AttemptResult> {
	const deadline = AbortSignal.timeout(options.deadlineMs);
	const signal = AbortSignal.any([deadline, options.closing]);
	const url = new URL(delivery.url);
	const target = await resolveTarget(url, deps.settings.webhookPrivateAddresses, signal);
	options.closing.throwIfAborted();
	if (target.kind !== "addresses") return { kind: "unanswered", why: `"${url.hostname}" ${target.why}` };

	const body = messageBody(delivery);
	const headers = signed(deps, delivery, body);
	let failure = "";
	for (const address of target.addresses) {
		try {
			return answered(await post({ url, address, headers, body, signal }), deps.clock.now());
		} catch (error) {
			options.closing.throwIfAborted();
			if (deadline.aborted) return { kind: "unanswered", why: `No answer within ${options.deadlineMs / 1_000} s` };
			failure = codeOf(error);
			if (!notConnected.includes(failure)) break;
		}
	}
	return { kind: "unanswered", why: `No answer: ${failure}` };
}

function signed(deps: Pick<Deps, "clock" | "vault">, delivery: ClaimedDelivery, body: string): Record<string, string> {
	const secret = deps.vault.open(delivery.secretSealed, secretPlace(delivery.webhookId));
	const at = new Date(deps.clock.now());
	return {
		"content-type": "application/json",
		"user-agent": "Muster",
		"webhook-id": delivery.id,
		"webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
		"webhook-signature": new Webhook(secret).sign(delivery.id, at, body),
	};
}

function answered({ status, retryAfter }: Answer, now: number): AttemptResult {
	return { kind: "answered", status, retryAfterMs: readRetryAfter(retryAfter, now) };
}
