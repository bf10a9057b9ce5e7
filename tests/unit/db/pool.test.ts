import { afterEach, expect, test } from "bun:test";
import { Pool } from "../../../src/db/pool.ts";
import type { Session } from "../../../src/db/session.ts";

/** A session that does what it is told. */
class FakeSession {
	readonly openedAt = performance.now();
	lost: Error | undefined;
	status = "idle";
	onLost: (error: Error) => void = () => {};
	close(): void {
		this.lose(new Error("closed"));
	}
	lose(error: Error): void {
		if (this.lost !== undefined) return;
		this.lost = error;
		this.onLost(error);
	}
	busyMs(): number {
		return 0;
	}
}

const pools: Pool[] = [];
afterEach(async () => {
	for (const pool of pools.splice(0)) await pool.close(0);
});

function poolOf(max: number, open: () => Promise<FakeSession> = async () => new FakeSession()): { pool: Pool; opened: FakeSession[] } {
	const opened: FakeSession[] = [];
	const pool = new Pool({
		max,
		silenceMsMax: 0,
		async open() {
			const session = await open();
			opened.push(session);
			return session as unknown as Session;
		},
	});
	pools.push(pool);
	return { pool, opened };
}

test("a session is lent to one borrower at a time, in the order they came, and no more than the limit are opened", async () => {
	const { pool, opened } = poolOf(2);
	const order: number[] = [];
	let lent = 0;
	await Promise.all(
		Array.from({ length: 20 }, async (_, index) => {
			const session = await pool.acquire();
			lent++;
			expect(lent).toBeLessThanOrEqual(2);
			order.push(index);
			await Promise.resolve();
			lent--;
			pool.release(session);
		}),
	);
	expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
	expect(opened.length).toBe(2);
});

test("a session that is lost, or still inside of a transaction, is never lent again", async () => {
	const { pool, opened } = poolOf(1);
	const first = await pool.acquire();
	opened[0]?.lose(new Error("cut"));
	pool.release(first);
	const second = await pool.acquire();
	expect(second).not.toBe(first);
	Object.assign(opened[1] ?? {}, { status: "transaction" });
	pool.release(second);
	expect(opened[1]?.lost).toBeDefined();
	const third = await pool.acquire();
	expect(third).not.toBe(second);
	pool.release(third);
	opened[2]?.lose(new Error("cut while idle"));
	expect(pool.take()).toBeUndefined();
	expect(await pool.acquire()).not.toBe(third);
});

test("when no session can be opened, all who wait hear why; when it can be opened again, they are served", async () => {
	let away = true;
	const { pool } = poolOf(2, async () => {
		if (away) throw new Error("the database is away");
		return new FakeSession();
	});
	const waiting = await Promise.allSettled(Array.from({ length: 50 }, () => pool.acquire()));
	expect(waiting.map((one) => one.status === "rejected" && String(one.reason))).toEqual(Array(50).fill("Error: the database is away"));
	away = false;
	pool.release(await pool.acquire());
});

test("closing waits for what is lent, refuses who waits and who comes, and closes every session", async () => {
	const { pool, opened } = poolOf(1);
	const session = await pool.acquire();
	const waiting = pool.acquire();
	const closing = pool.close(60_000);
	const refused = await Promise.allSettled([waiting, pool.acquire()]);
	expect(refused.map((one) => one.status === "rejected" && String(one.reason))).toEqual(
		Array(2).fill("LinkError: The database was closed"),
	);
	expect(opened[0]?.lost).toBeUndefined();
	pool.release(session);
	await closing;
	expect(opened[0]?.lost).toBeDefined();
});
