import { clearTimeout, setTimeout } from "node:timers";
import type { Principal } from "../auth/principal.ts";
import { MusterError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { LeaveSignal } from "../lib/leaving.ts";
import { boundedQueue } from "../lib/queue.ts";
import type { Metrics } from "../metrics/port.ts";
import type { EventKind, TenantEvent } from "./event.ts";
import type { Bus, Unsubscribe } from "./port.ts";

/** Most events that wait for one subscriber. At about 500 bytes each that is half a megabyte a subscriber at worst. */
export const subscriberBufferMax = 1_024;

/** What a subscription needs of its operation. */
export interface Subscriber {
	/** Closes the transport with the documented code. */
	fellBehind(): void;
	/** Aborted when the reader has gone. */
	readonly signal: LeaveSignal;
	readonly deps: { readonly metrics: Metrics; readonly clock: Clock };
	readonly principal: Principal;
}

/**
 * A stream of what `listen` delivers and `pick` lets through, for one subscriber. The producer never waits: when the
 * subscriber's buffer is full, `fellBehind` is called and the stream ends with an error; nothing is skipped silently.
 * Leaving the iteration, or the signal, unsubscribes. A token that runs out ends it with UNAUTHENTICATED.
 */
export async function* subscription<TIn, TOut>(
	subscriber: Subscriber,
	listen: (listener: (item: TIn) => void) => Unsubscribe,
	pick: (item: TIn) => readonly TOut[],
	bufferMax = subscriberBufferMax,
): AsyncGenerator<TOut> {
	const { signal, deps } = subscriber;
	const queue = boundedQueue<TOut>(bufferMax);
	let over = false;
	const leave = () => {
		over = true;
		queue.close();
	};
	const stop = listen((item) => {
		// Who has left has not fallen behind.
		if (over) return;
		for (const picked of pick(item)) {
			if (queue.push(picked)) continue;
			over = true;
			queue.close(new Error("The subscriber fell behind"));
			subscriber.fellBehind();
			return;
		}
	});
	signal.addEventListener("abort", leave, { once: true });
	const expiry = atExpiry(subscriber, () =>
		queue.close(new MusterError("UNAUTHENTICATED", "The admin token has expired: make a new one (npm run token)")),
	);
	deps.metrics.subscribers(1);
	try {
		if (!signal.aborted) yield* queue;
	} finally {
		signal.removeEventListener("abort", leave);
		clearTimeout(expiry);
		deps.metrics.subscribers(-1);
		stop();
	}
}

/** The same for what `pick` makes of one tenant's events of one kind; another tenant's never reach it (S1). */
export function eventSubscription<Kind extends EventKind, TOut>(
	subscriber: Subscriber & { readonly deps: { readonly bus: Bus } },
	{ tenantId, kind }: { readonly tenantId: string; readonly kind: Kind },
	pick: (event: TenantEvent<Kind>["event"]) => readonly TOut[],
): AsyncGenerator<TOut> {
	return subscription<TenantEvent<Kind>, TOut>(
		subscriber,
		(listener) => subscriber.deps.bus.onEvent([kind], listener),
		(of) => (of.tenantId === tenantId ? pick(of.event) : []),
	);
}

/** Timers take at most 2^31 - 1 ms; a token that lives longer is looked at again by whoever opens the next stream. */
const timerMsMax = 2_147_483_647;

function atExpiry({ principal, deps }: Subscriber, end: () => void): ReturnType<typeof setTimeout> | undefined {
	if (principal.kind !== "operator") return undefined;
	const leftMs = principal.expiresAt - deps.clock.now();
	return leftMs > timerMsMax ? undefined : setTimeout(end, Math.max(0, leftMs));
}
