/**
 * Sends what is queued, in each server process. A delivery goes PENDING (due) → claimed (a lease in the future) → DELIVERED, FAILED, or PENDING
 * again with a later time. Whoever dies between claim and record leaves a lease that ends: the message is sent again with the same `webhook-id`,
 * at least once in all. `schedule.ts` decides, this file waits and acts.
 */
import { clearInterval, setInterval } from "node:timers";
import { record } from "../audit/store.ts";
import type { Deps } from "../deps.ts";
import { absurd } from "../lib/absurd.ts";
import { within } from "../lib/within.ts";
import { attempt } from "./attempt.ts";
import { type AttemptResult, nextStep } from "./schedule.ts";
import { type AttemptRecord, claimDue, giveUpWaiting, recordAttempt, releaseClaim } from "./store.ts";
import type { ClaimedDelivery } from "./webhook.ts";

/** The deliverer of one server process. */
export interface Deliverer {
	/** Looks for due deliveries now. Calls while it looks cause one more look. */
	wake(): void;
	/** Claims nothing more, lets attempts end for a moment, then cuts them off and gives them back. Safe to repeat. */
	close(): Promise<void>;
}

export interface DelivererOptions {
	/** For tests; the specification suggests 15 to 30 s. */
	readonly deadlineMs?: number;
}

/** Attempts under way at once: each holds a socket and a few kilobytes. */
const concurrencyMax = 8;
/** Attempts under way to one webhook after which it is claimed no more; one claim may bring two at once, so it is at most three. */
const busyAt = 2;
const claimPerWebhook = 2;
/** The same for a tenant: half of the attempts, so that one tenant's dead receivers leave room for the others. One claim may bring as many again. */
const tenantBusyAt = 4;
/** Due deliveries looked at in one claim, so that a long queue of one webhook costs no long sort. */
const window = 256;
const attemptMs = 15_000;
/** Four deadlines: an attempt that lives has been recorded long before. */
const leaseSeconds = 60;
/** Retries are due by time, which no event tells. The first comes after 5 s at the soonest. */
const pollMs = 2_000;
/** A stopping server waits this long for receivers. */
const closeMs = 2_000;
/** What waits for a disabled webhook and is given up at once. */
const giveUpMax = 10_000;
const errorCharsMax = 500;

type Tools = Pick<Deps, "db" | "bus" | "clock" | "random" | "mintId" | "vault" | "log" | "metrics" | "settings">;

/** Starts it. Woken by alerts raised anywhere and by a slow poll; a database that is away is asked again at the next poll. */
export function openDeliverer(deps: Tools, options: DelivererOptions = {}): Deliverer {
	const closing = new AbortController();
	const underWay = new Set<Promise<void>>();
	const perWebhook = new Map<string, number>();
	const perTenant = new Map<string, number>();
	let claiming: Promise<void> | undefined;
	let again = false;
	let closed = false;

	function wake(): void {
		if (closed) return;
		again = true;
		claiming ??= claim()
			.catch((error: unknown) => deps.log.warn("webhook.claim_failed", { error }))
			.finally(() => {
				claiming = undefined;
			});
	}

	async function claim(): Promise<void> {
		while (again && !closed) {
			again = false;
			const total = concurrencyMax - underWay.size;
			// Each attempt that ends looks again.
			if (total <= 0) return;
			const claimed = await claimDue(deps.db.sql, {
				total,
				perWebhook: claimPerWebhook,
				perTenant: tenantBusyAt,
				window,
				leaseSeconds,
				busy: fullOf(perWebhook, busyAt),
				busyTenants: fullOf(perTenant, tenantBusyAt),
			});
			for (const delivery of claimed) start(delivery);
			if (claimed.length > 0) again = true;
		}
	}

	function start(delivery: ClaimedDelivery): void {
		const { webhookId, tenantId } = delivery;
		add(perWebhook, webhookId, 1);
		add(perTenant, tenantId, 1);
		const work = deliver(delivery)
			.catch((error: unknown) => deps.log.warn("webhook.record_failed", { webhookId, deliveryId: delivery.id, error }))
			.finally(() => {
				underWay.delete(work);
				add(perWebhook, webhookId, -1);
				add(perTenant, tenantId, -1);
				wake();
			});
		underWay.add(work);
	}

	async function deliver(delivery: ClaimedDelivery): Promise<void> {
		if (delivery.disabled) return settle(deps, delivery, disabledBefore);
		let result: AttemptResult;
		try {
			result = await attempt(deps, delivery, { deadlineMs: options.deadlineMs ?? attemptMs, closing: closing.signal });
		} catch (error) {
			if (closing.signal.aborted) return releaseClaim(deps.db.sql, delivery);
			deps.log.error("webhook.attempt_failed", { webhookId: delivery.webhookId, deliveryId: delivery.id, error });
			result = { kind: "unanswered", why: "The server could not send it; its log tells why" };
		}
		return settle(deps, delivery, outcomeOf(result, delivery.attempts, deps.random.fraction()));
	}

	const unsubscribe = deps.bus.onEvent(["alert"], wake);
	const timer = setInterval(wake, pollMs);
	wake();
	return {
		wake,
		async close() {
			closed = true;
			clearInterval(timer);
			unsubscribe();
			await claiming;
			await within(Promise.all(underWay), closeMs);
			closing.abort();
			// What cannot be given back, because the database is away, is due when its lease ends.
			await within(Promise.all(underWay), closeMs);
		},
	};
}

const disabledText = "The webhook is disabled: its receiver answered 410 Gone";
const disabledBefore: AttemptRecord = { state: "FAILED", afterMs: null, status: null, error: disabledText, disable: false };

/** What an attempt's result comes to. Pure. */
export function outcomeOf(result: AttemptResult, attempts: number, fraction: number): AttemptRecord {
	const status = result.kind === "answered" ? result.status : null;
	const why = result.kind === "answered" ? `The receiver answered ${result.status}` : result.why;
	const failed = { state: "FAILED", afterMs: null, status, error: why.slice(0, errorCharsMax), disable: false } as const;
	const next = nextStep(result, attempts, fraction);
	switch (next.kind) {
		case "delivered":
			return { ...failed, state: "DELIVERED", error: null };
		case "disable":
			return { ...failed, error: disabledText, disable: true };
		case "retry":
			return { ...failed, state: "PENDING", afterMs: next.afterMs };
		case "give-up":
			return failed;
		default:
			return absurd(next);
	}
}

async function settle(deps: Tools, delivery: ClaimedDelivery, outcome: AttemptRecord): Promise<void> {
	const { id: deliveryId, tenantId, webhookId, attempts } = delivery;
	const recorded = await deps.db.tx(async (tx) => {
		if (!(await recordAttempt(tx, delivery, outcome))) return false;
		if (outcome.disable) {
			await giveUpWaiting(tx, tenantId, webhookId, disabledText, giveUpMax);
			const at = deps.clock.now();
			const line = { id: deps.mintId("audit"), tenantId, at, actor: "server", action: "webhook.disabled", subject: webhookId };
			await record(tx, [{ ...line, detail: { status: outcome.status } }]);
		}
		return true;
	});
	if (!recorded) return;
	if (outcome.state === "PENDING") {
		deps.metrics.webhookAttempt("retried");
		deps.log.debug("webhook.retried", { webhookId, deliveryId, attempts, why: outcome.error });
		return;
	}
	const result = outcome.disable ? "disabled" : outcome.state === "DELIVERED" ? "delivered" : "failed";
	deps.metrics.webhookAttempt(result);
	deps.log.info(`webhook.${result}`, { webhookId, deliveryId, attempts, why: outcome.error });
}

/** Counts in a map that holds no zeros. */
function add(counts: Map<string, number>, key: string, change: number): void {
	const left = (counts.get(key) ?? 0) + change;
	if (left > 0) counts.set(key, left);
	else counts.delete(key);
}

function fullOf(counts: ReadonlyMap<string, number>, limit: number): string[] {
	return [...counts].filter(([, running]) => running >= limit).map(([key]) => key);
}
