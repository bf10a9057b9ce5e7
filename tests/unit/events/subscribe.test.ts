import { expect, test } from "bun:test";
import type { Principal } from "../../../src/auth/principal.ts";
import { type Subscriber, subscription } from "../../../src/events/subscribe.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { createMetrics } from "../../../src/metrics/registry.ts";
import { failureOf } from "../../support/failure.ts";

const anyone: Principal = { kind: "anonymous", why: null };

function operator(expiresAt: number): Principal {
	return { kind: "operator", tenantId: "ten_1", role: "viewer", subject: "ann", actor: "operator:ann", expiresAt };
}

/** A subscription over a source that the test pushes into, with what it told its transport. */
function open(change: Partial<Subscriber> = {}, bufferMax?: number) {
	const listeners = new Set<(item: number) => void>();
	const told = { fellBehind: 0 };
	const subscriber: Subscriber = {
		principal: anyone,
		signal: new AbortController().signal,
		deps: { metrics: createMetrics({ process: false }), clock: systemClock },
		fellBehind: () => void told.fellBehind++,
		...change,
	};
	const stream = subscription<number, number>(
		subscriber,
		(listener) => {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
		(item) => (item < 0 ? [] : [item]),
		bufferMax,
	);
	const push = (item: number) => {
		for (const listener of listeners) listener(item);
	};
	return { stream, push, listeners, told };
}

test("a subscriber gets what is picked for it, in order", async () => {
	const { stream, push } = open();
	const first = stream.next();
	for (const item of [1, -1, 2]) push(item);
	expect([(await first).value, (await stream.next()).value]).toEqual([1, 2]);
});

test("a subscriber whose buffer runs over is told so and ended with an error: nothing is skipped silently", async () => {
	const { stream, push, told, listeners } = open({}, 2);
	const first = stream.next();
	for (const item of [1, 2, 3, 4, 5]) push(item);
	expect(String(await failureOf(first))).toContain("fell behind");
	expect([told.fellBehind, listeners.size]).toEqual([1, 0]);
});

test("leaving through the signal unsubscribes, also while waiting for an event", async () => {
	const leaving = new AbortController();
	const { stream, listeners } = open({ signal: leaving.signal });
	const waiting = stream.next();
	expect(listeners.size).toBe(1);
	leaving.abort();
	expect((await waiting).done).toBe(true);
	expect(listeners.size).toBe(0);
});

test("who has left is not taken for one that fell behind", async () => {
	const leaving = new AbortController();
	const { stream, push, told } = open({ signal: leaving.signal });
	const waiting = stream.next();
	leaving.abort();
	push(1);
	expect((await waiting).done).toBe(true);
	expect(told.fellBehind).toBe(0);
});

test("A15: a stream does not outlive its token, over whatever transport: it ends with UNAUTHENTICATED", async () => {
	const { stream, listeners } = open({ principal: operator(systemClock.now() + 20) });
	expect(await failureOf(stream.next())).toMatchObject({ code: "UNAUTHENTICATED" });
	expect(listeners.size).toBe(0);
});

test("A15: a token that is valid for months keeps its stream", async () => {
	const { stream, push } = open({ principal: operator(systemClock.now() + 90 * 86_400_000) });
	const first = stream.next();
	push(7);
	expect((await first).value).toBe(7);
	await stream.return(undefined);
});
