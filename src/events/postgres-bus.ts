import { performance } from "node:perf_hooks";
import { clearInterval, setImmediate, setInterval } from "node:timers";
import { setTimeout as wait } from "node:timers/promises";
import type { Db } from "../db/port.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Metrics } from "../metrics/port.ts";
import type { EventKind, HeartbeatSignal, TenantEvent } from "./event.ts";
import { type Bus, eventChannel, heartbeatChannel } from "./port.ts";
import { eventsAfter, newestEventId } from "./store.ts";
import { advance, startTail, type Tail } from "./tail.ts";

/** Longer than any of our transactions may live (statement_timeout 30 s, three retries). */
const forgetMs = 180_000;
/** A lost notification delays events by this at most. */
const pollMs = 2_000;
const pageSize = 1_000;
/** While events keep coming, the outbox is read this often: each enrollment batch tells of its own. */
const paceMs = 25;
/** PostgreSQL refuses payloads of 8,000 bytes and more. */
const payloadBytesMax = 7_500;
/** Heartbeats handed to the listeners in one turn of the loop: what a subscriber holds is bounded, and it reads between two turns. */
const beatsAtOnce = 256;

interface EventListener {
	readonly kinds: readonly EventKind[];
	readonly call: (event: TenantEvent) => void;
}

/**
 * The bus over PostgreSQL: the outbox is the truth, NOTIFY a hint to read it, a slow poll the safety net.
 * Heartbeats travel inside NOTIFY payloads, in chunks, and are lost when a listener is.
 */
export async function openPostgresBus(deps: { db: Db; clock: Clock; log: Log; metrics: Metrics; processId: string }): Promise<Bus> {
	const { db, clock, log, metrics, processId } = deps;
	const eventListeners = new Set<EventListener>();
	const beatListeners = new Set<(beats: readonly HeartbeatSignal[]) => void>();
	let tail: Tail = startTail(await newestEventId(db.sql));
	let reading: Promise<void> | undefined;
	let again = false;

	const wanted = () => [...new Set([...eventListeners].flatMap(({ kinds }) => kinds))];

	/** A listener that throws keeps nobody else from hearing. */
	function hand(stored: TenantEvent): void {
		for (const { kinds, call } of eventListeners) {
			if (!kinds.includes(stored.event.kind)) continue;
			try {
				call(stored);
			} catch (error) {
				log.error("events.listener_failed", { kind: stored.event.kind, error });
			}
		}
	}

	let readAt = Number.NEGATIVE_INFINITY;

	async function readAll(): Promise<void> {
		do {
			const early = readAt + paceMs - performance.now();
			if (early > 0) await wait(early);
			readAt = performance.now();
			again = false;
			const kinds = wanted();
			const page = await eventsAfter(db.sql, tail, pageSize, kinds);
			// Whoever began to listen meanwhile would miss what this page leaves out.
			if (wanted().some((kind) => !kinds.includes(kind))) {
				again = true;
				continue;
			}
			const step = advance(tail, page.ids, clock.now(), forgetMs);
			tail = step.tail;
			if (step.fresh.length > 0 && page.newest !== null) metrics.eventLag(Math.max(0, clock.now() - page.newest) / 1000);
			const fresh = new Set(step.fresh);
			for (const stored of page.events) if (fresh.delete(stored.id)) hand(stored);
			if (page.ids.length >= pageSize) again = true;
		} while (again);
	}

	/** Reads what is new; calls that come while a read is under way cause one more read, not a second reader. */
	function wake(): void {
		again = true;
		reading ??= readAll()
			.catch((error: unknown) => log.warn("events.read_failed", { error }))
			.finally(() => {
				reading = undefined;
			});
	}

	function deliver(beats: readonly HeartbeatSignal[]): void {
		for (const listener of beatListeners) listener(beats);
	}

	const events = await db.listen(eventChannel, wake, wake);
	const beats = await db.listen(
		heartbeatChannel,
		(payload) => {
			const { from, beats } = JSON.parse(payload) as { from: string; beats: HeartbeatSignal[] };
			if (from !== processId) deliver(beats);
		},
		() => {},
	);
	const timer = setInterval(wake, pollMs);

	return {
		onEvent: (kinds, call) => subscribe(eventListeners, { kinds, call: call as never }),
		onHeartbeat: (listener) => subscribe(beatListeners, listener),
		async publishHeartbeats(signals) {
			for (let from = 0; from < signals.length; from += beatsAtOnce) {
				if (from > 0) await new Promise((resolve) => setImmediate(resolve));
				deliver(signals.slice(from, from + beatsAtOnce));
			}
			const payloads = chunk(processId, signals);
			if (payloads.length > 0) await db.sql`select pg_notify(${heartbeatChannel}, payload) from unnest(${payloads}::text[]) as payload`;
		},
		async close() {
			clearInterval(timer);
			await Promise.allSettled([events.close(), beats.close(), reading]);
		},
	};
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
	listeners.add(listener);
	return () => {
		listeners.delete(listener);
	};
}

function chunk(from: string, signals: readonly HeartbeatSignal[]): string[] {
	const payloads: string[] = [];
	let items: string[] = [];
	let bytes = 0;
	const flush = () => {
		if (items.length > 0) payloads.push(`{"from":${JSON.stringify(from)},"beats":[${items.join(",")}]}`);
		items = [];
		bytes = 0;
	};
	for (const signal of signals) {
		const item = JSON.stringify(signal);
		const size = Buffer.byteLength(item) + 1;
		if (bytes + size + from.length + 32 > payloadBytesMax) flush();
		items.push(item);
		bytes += size;
	}
	flush();
	return payloads;
}
