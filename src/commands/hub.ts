import { clearInterval, setInterval } from "node:timers";
import type { Deps } from "../deps.ts";
import { Bell } from "../lib/bell.ts";
import { workersWithWork } from "./hand-out-store.ts";
import { commandChannel } from "./store.ts";

/** Wakes those of one server process who wait for commands: streams of workers (`w`), readers of output (`o`), workers that wait for room (`r`). */
export interface CommandHub {
	/** A bell that rings when there may be something: at once when a server said so, else within `pollMs`. */
	bell(what: "w" | "o" | "r", id: string, tenantId: string): HubBell;
	close(): Promise<void>;
}

/** One waiter's. */
export class HubBell extends Bell {
	readonly tenantId: string;
	private readonly key: string;
	private readonly bells: Bells;

	constructor(tenantId: string, key: string, bells: Bells) {
		super();
		this.tenantId = tenantId;
		this.key = key;
		this.bells = bells;
	}

	/** It rings no more. */
	close(): void {
		const left = this.bells.get(this.key)?.filter((other) => other !== this) ?? [];
		if (left.length > 0) this.bells.set(this.key, left);
		else this.bells.delete(this.key);
	}
}

/** By what is waited for. Most have one listener, and a set for it would be the most of what a waiting worker takes here. */
type Bells = Map<string, readonly HubBell[]>;

/** A lost hint delays commands and output by this at most. */
const pollMs = 2_000;

/** Opens the hub. One statement a poll asks for all workers at once: a fleet that has nothing to do costs no more. */
export async function openCommandHub({ db, log }: Pick<Deps, "db" | "log">): Promise<CommandHub> {
	const bells: Bells = new Map();
	const keyOf = (what: string, id: string) => `${what} ${id}`;

	function ring(key: string): void {
		for (const bell of bells.get(key) ?? []) bell.ring();
	}

	async function poll(): Promise<void> {
		const waiting: { tenantId: string; workerId: string }[] = [];
		for (const [key, listeners] of bells) {
			if (!key.startsWith("w ")) ring(key);
			else for (const { tenantId } of listeners) waiting.push({ tenantId, workerId: key.slice(2) });
		}
		if (waiting.length === 0) return;
		for (const workerId of await workersWithWork(db.sql, waiting)) ring(keyOf("w", workerId));
	}

	const listening = await db.listen(commandChannel, ring, () => {
		for (const key of bells.keys()) ring(key);
	});
	let polling: Promise<void> | undefined;
	const timer = setInterval(() => {
		polling ??= poll()
			.catch((error: unknown) => log.warn("commands.poll_failed", { error }))
			.finally(() => {
				polling = undefined;
			});
	}, pollMs);

	return {
		bell(what, id, tenantId) {
			const key = keyOf(what, id);
			const bell = new HubBell(tenantId, key, bells);
			bells.set(key, [...(bells.get(key) ?? []), bell]);
			return bell;
		},
		async close() {
			clearInterval(timer);
			await Promise.allSettled([listening.close(), polling]);
		},
	};
}
