import { performance } from "node:perf_hooks";
import { clearInterval, setInterval, setTimeout } from "node:timers";
import { MusterError } from "../errors.ts";
import { LinkError } from "./link.ts";
import type { Session } from "./session.ts";

export interface PoolOptions {
	/** Most sessions at a time. */
	readonly max: number;
	/** A statement that takes longer than this, beyond the server's own limit, means a connection that is dead and does not know it. 0: no limit. */
	readonly silenceMsMax: number;
	open(): Promise<Session>;
}

interface Waiter {
	resolve(session: Session): void;
	reject(error: unknown): void;
}

/** Callers that may wait for a session: more than a burst of ten thousand enrollments needs, and a few megabytes. */
const waitersMax = 20_000;
/** Backends grow with age; renewed between 30 and 60 minutes, not all at once. */
const lifetimeMs = 30 * 60_000;
const watchMs = 5_000;

/**
 * Lends sessions, each to one borrower at a time, at most `max` at once; the others wait in order. A lost session is forgotten and
 * another opened when one is asked for. When none can be opened and none is there, all who wait are refused with the reason.
 */
export class Pool {
	readonly #options: PoolOptions;
	readonly #idle: Session[] = [];
	readonly #sessions = new Set<Session>();
	readonly #waiters: Waiter[] = [];
	readonly #watch: ReturnType<typeof setInterval>;
	#opening = 0;
	#lent = 0;
	#closed: LinkError | undefined;
	#drained: (() => void) | undefined;

	constructor(options: PoolOptions) {
		this.#options = options;
		this.#watch = setInterval(() => this.#cutSilent(), watchMs);
		this.#watch.unref?.();
	}

	/** A session that is there and free, without waiting; only `acquire` opens one. */
	take(): Session | undefined {
		if (this.#closed !== undefined) return undefined;
		const session = this.#idle.pop();
		if (session !== undefined) this.#lent++;
		return session;
	}

	/** Waits for a session. Rejects with the reason when none can be opened, and when the pool is closed. Give it back with `release`. */
	acquire(): Promise<Session> {
		if (this.#closed !== undefined) return Promise.reject(this.#closed);
		const session = this.take();
		if (session !== undefined) return Promise.resolve(session);
		if (this.#waiters.length >= waitersMax) {
			return Promise.reject(
				new MusterError("SERVICE_UNAVAILABLE", `The database is overloaded: ${waitersMax} requests wait for it, try again later`),
			);
		}
		return new Promise((resolve, reject) => {
			this.#waiters.push({ resolve, reject });
			this.#openForWaiters();
		});
	}

	/** Takes a session back. One that is lost, old, or still inside a transaction is not lent again. */
	release(session: Session): void {
		this.#lent--;
		const stale = performance.now() - session.openedAt > lifetimeMs * (1 + (session.openedAt % 1_000) / 1_000);
		if (this.#closed !== undefined || stale || session.status !== "idle") session.close();
		if (session.lost === undefined) this.#give(session);
		else this.#openForWaiters();
		if (this.#lent === 0) this.#drained?.();
	}

	/** Lends no more; waits up to the deadline for what is lent, then closes every connection. Those who wait are refused. */
	async close(deadlineMs: number): Promise<void> {
		this.#closed ??= new LinkError("CONNECTION_ENDED", "The database was closed");
		for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#closed);
		if (this.#lent > 0) {
			let timer: ReturnType<typeof setTimeout> | undefined;
			await new Promise<void>((resolve) => {
				this.#drained = resolve;
				timer = setTimeout(resolve, deadlineMs);
			});
			clearTimeout(timer);
		}
		clearInterval(this.#watch);
		for (const session of this.#sessions) session.close();
	}

	#give(session: Session): void {
		const waiter = this.#waiters.shift();
		if (waiter === undefined) {
			this.#idle.push(session);
		} else {
			this.#lent++;
			waiter.resolve(session);
		}
	}

	#openForWaiters(): void {
		while (this.#opening < this.#waiters.length && this.#sessions.size + this.#opening < this.#options.max) {
			this.#opening++;
			void this.#open();
		}
	}

	async #open(): Promise<void> {
		try {
			const session = await this.#options.open();
			this.#opening--;
			if (this.#closed !== undefined) return session.close();
			this.#sessions.add(session);
			session.onLost = () => this.#forget(session);
			if (session.lost === undefined) this.#give(session);
			else this.#forget(session);
		} catch (error) {
			this.#opening--;
			// Whoever waits for the sessions that are there still gets one; without any, the next try would fail alike.
			if (this.#sessions.size === 0 && this.#opening === 0) for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
			else this.#waiters.shift()?.reject(error);
		}
	}

	#forget(session: Session): void {
		this.#sessions.delete(session);
		const at = this.#idle.indexOf(session);
		if (at >= 0) this.#idle.splice(at, 1);
		this.#openForWaiters();
	}

	#cutSilent(): void {
		const limit = this.#options.silenceMsMax;
		if (limit === 0) return;
		for (const session of this.#sessions) {
			if (session.busyMs() > limit) session.fail(new LinkError("ETIMEDOUT", `PostgreSQL did not answer a statement within ${limit} ms`));
		}
	}
}
