import { clearInterval, setInterval } from "node:timers";
import { setTimeout as wait } from "node:timers/promises";
import { fullJitter } from "../lib/backoff.ts";
import type { Log } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Connection } from "./client.ts";
import type { Listening } from "./port.ts";

interface Subscription {
	readonly onEvent: (payload: string) => void;
	readonly onGap: () => void;
}

/** LISTEN for a whole process, over one connection. */
export interface Listener {
	listen(channel: string, onEvent: (payload: string) => void, onGap: () => void): Promise<Listening>;
	/** Stops all; idempotent. */
	close(): Promise<void>;
}

const backoff = { baseMs: 100, capMs: 3_000 };
/** A network that drops packets tells nobody: a connection that does not answer within one period is given up. */
const pulseMs = 15_000;

/**
 * Makes the listener; it connects with the first `listen`, which rejects when that fails. A connection that is lost later is opened again until
 * it works, each channel is listened to anew, and then each `onGap` is called: notifications sent meanwhile are gone.
 */
export function createListener(open: (onNotify: (channel: string, payload: string) => void) => Promise<Connection>, log: Log): Listener {
	const channels = new Map<string, Set<Subscription>>();
	let connecting: Promise<Connection> | undefined;
	let pulse: ReturnType<typeof setInterval> | undefined;
	let closed = false;

	function guarded(channel: string, call: () => void): void {
		try {
			call();
		} catch (error) {
			log.error("db.listener_failed", { channel, error });
		}
	}

	async function connect(): Promise<Connection> {
		const connection = await open((channel, payload) => {
			for (const { onEvent } of channels.get(channel) ?? []) guarded(channel, () => onEvent(payload));
		});
		for (const channel of channels.keys()) await connection.sql.unsafe(`listen ${quoted(channel)}`);
		void connection.gone.then(lost);
		if (closed) connection.close();
		return connection;
	}

	function lost(error: Error): void {
		connecting = undefined;
		if (closed || channels.size === 0) return;
		log.warn("db.listen_lost", { error });
		connecting = reconnect();
		connecting.catch(() => {});
	}

	async function reconnect(): Promise<Connection> {
		for (let attempt = 0; ; attempt++) {
			await wait(fullJitter(backoff, attempt, systemRandom.fraction()));
			if (closed || channels.size === 0) throw new Error("Nobody listens any more");
			try {
				const connection = await connect();
				log.info("db.listening", { channels: [...channels.keys()], attempts: attempt + 1 });
				for (const [channel, subscriptions] of channels) for (const { onGap } of subscriptions) guarded(channel, onGap);
				return connection;
			} catch (error) {
				log.debug("db.listen_retried", { attempt, error });
			}
		}
	}

	/** Asks for a sign of life, by a LISTEN that is in force already. */
	function beat(): void {
		const asked = connecting;
		void asked
			?.then(async (connection) => {
				const [channel] = channels.keys();
				if (channel === undefined) return;
				const timer = setTimeout(() => connection.close(), pulseMs);
				await connection.sql.unsafe(`listen ${quoted(channel)}`).then(
					() => clearTimeout(timer),
					() => clearTimeout(timer),
				);
			})
			.catch(() => {});
	}

	async function leave(channel: string, subscription: Subscription): Promise<void> {
		const subscriptions = channels.get(channel);
		subscriptions?.delete(subscription);
		if (subscriptions?.size !== 0) return;
		channels.delete(channel);
		// While the database is away the next connection may never come: with nobody left to listen the attempts end.
		const connection = await connecting?.catch(() => undefined);
		if (channels.size === 0 && connection === undefined) connecting = undefined;
		if (channels.size === 0) connection?.close();
		else if (!channels.has(channel)) await connection?.sql.unsafe(`unlisten ${quoted(channel)}`).catch(() => {});
	}

	return {
		async listen(channel, onEvent, onGap) {
			if (closed) throw new Error("The database was closed");
			const subscription: Subscription = { onEvent, onGap };
			const subscriptions = channels.get(channel) ?? new Set();
			channels.set(channel, subscriptions.add(subscription));
			try {
				connecting ??= connect();
				const opening = connecting;
				const connection = await opening.catch((error: unknown) => {
					if (connecting === opening) connecting = undefined;
					throw error;
				});
				await connection.sql.unsafe(`listen ${quoted(channel)}`);
			} catch (error) {
				await leave(channel, subscription);
				throw error;
			}
			pulse ??= setInterval(beat, pulseMs);
			pulse.unref?.();
			guarded(channel, onGap);
			return { close: () => leave(channel, subscription) };
		},
		async close() {
			closed = true;
			clearInterval(pulse);
			channels.clear();
			const connection = await Promise.race([connecting?.catch(() => undefined), Promise.resolve(undefined)]);
			connection?.close();
		},
	};
}

function quoted(channel: string): string {
	return `"${channel.replaceAll('"', '""')}"`;
}
