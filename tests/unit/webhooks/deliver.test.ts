import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { pruneDeliveries, recordAttempt } from "../../../src/webhooks/store.ts";
import { deleteWebhook, testWebhook } from "../../../src/webhooks/webhooks.ts";
import { admin, holding, lockWaiters, rowCount } from "../../support/pipeline.ts";
import { until } from "../../support/until.ts";
import { claimAndDie, type DeliveryBench, deliveriesOf, newWebhook, openBench, passWait, raise } from "./bench.ts";
import { verified } from "./receiver.ts";

let bench: DeliveryBench;
beforeAll(async () => {
	bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(async () => {
	await bench.database.db.sql`delete from webhooks`;
});
afterEach(() => bench.closeDeliverers());

const raised = (count = 1, kind?: "LOCKOUT" | "COLLISION") => bench.deps.db.tx((tx) => raise(bench.deps, tx, count, kind));
const stateOf = async (webhookId: string) => (await deliveriesOf(bench, webhookId)).map(({ state, attempts }) => [state, attempts]);

describe("what is queued", () => {
	test("an alert of a transaction that is rolled back is sent nowhere", async () => {
		const path = bench.receiver.path();
		const { id } = await newWebhook(bench, path);
		const fault = bench.deps.db.tx(async (tx) => {
			await raise(bench.deps, tx);
			throw new Error("rolled back");
		});
		expect(await fault.catch(String)).toContain("rolled back");
		expect(await deliveriesOf(bench, id)).toHaveLength(0);
	});

	test("a webhook gets the kinds it asked for, once an alert, and nothing from before it was made", async () => {
		await raised();
		const picky = await newWebhook(bench, bench.receiver.path(), { kinds: ["COLLISION"] });
		const all = await newWebhook(bench, bench.receiver.path());
		await raised(1, "LOCKOUT");
		await raised(2, "COLLISION");
		expect(await deliveriesOf(bench, picky.id)).toHaveLength(2);
		expect(await deliveriesOf(bench, all.id)).toHaveLength(3);
		const ids = (await deliveriesOf(bench, all.id)).map((delivery) => String(delivery["id"]));
		expect(ids.every((id) => /^dlv_[0-9a-hjkmnp-tv-z]{26}$/.test(id))).toBe(true);
	});

	test("a webhook deleted at that moment costs no alert: the alert is raised, nothing is queued", async () => {
		const { id } = await newWebhook(bench, bench.receiver.path());
		const lock = await holding(bench.database.db, `delete from webhooks where id = '${id}'`);
		const raising = raised();
		await lockWaiters(bench.database.db, 1);
		await lock.release();
		const [alertId] = await raising;
		expect(await rowCount(bench.database.db, "alerts", `id = '${alertId}'`)).toBe(1);
		expect(await rowCount(bench.database.db, "webhook_deliveries")).toBe(0);
	});
});

describe("several servers", () => {
	test("two on one database send each message once", async () => {
		const path = bench.receiver.path();
		const { id, secret } = await newWebhook(bench, path);
		bench.deliverer();
		bench.deliverer({ pipeline: bench.right });
		const alerts = await raised(40);
		await until("all have arrived", async () => (await rowCount(bench.database.db, "webhook_deliveries", "state = 'DELIVERED'")) === 40);
		const got = bench.receiver.received(path);
		expect(got).toHaveLength(40);
		expect(new Set(got.map((one) => verified(secret, one).data.id))).toEqual(new Set(alerts));
		expect(new Set(got.map(({ headers }) => headers["webhook-id"])).size).toBe(40);
		expect(new Set((await stateOf(id)).map(String))).toEqual(new Set(["DELIVERED,1"]));
	});

	test("a server that dies between claim and record costs no message: it is sent under the same id once the lease has ended", async () => {
		const path = bench.receiver.path();
		const { id, secret } = await newWebhook(bench, path);
		await raised();
		const [claimed] = await claimAndDie(bench);
		const deliverer = bench.deliverer();
		deliverer.wake();
		// Another message goes all the way meanwhile: the claimed one is left alone.
		const { delivery } = await testWebhook(bench.deps, admin, id);
		await until(
			"the other has arrived",
			async () => (await rowCount(bench.database.db, "webhook_deliveries", "state = 'DELIVERED'")) === 1,
		);
		expect(bench.receiver.received(path).map(({ headers }) => headers["webhook-id"])).toEqual([delivery.id]);
		await passWait(bench, id);
		await until(
			"the message has arrived",
			async () => (await rowCount(bench.database.db, "webhook_deliveries", "state = 'DELIVERED'")) === 2,
		);
		const [, late] = bench.receiver.received(path);
		if (late === undefined) throw new Error("Nothing came");
		expect(late.headers["webhook-id"]).toBe(String(claimed?.id));
		expect(verified(secret, late).type).toBe("alert.raised");
	});

	test("what is raised is due at once, not after the half of a millisecond by which its time could be rounded up", async () => {
		const { id } = await newWebhook(bench, bench.receiver.path());
		for (let time = 0; time < 20; time++) {
			const late = await bench.deps.db.tx(async (tx) => {
				await raise(bench.deps, tx, 1);
				return tx`select id from webhook_deliveries where webhook_id = ${id} and next_attempt_at > now()`;
			});
			expect([...late]).toEqual([]);
		}
	});

	test("a server that records after its lease was taken over changes nothing", async () => {
		const { id } = await newWebhook(bench, bench.receiver.path());
		await raised();
		const [late] = await claimAndDie(bench);
		await passWait(bench, id);
		const [taker] = await claimAndDie(bench);
		if (late === undefined || taker === undefined) throw new Error("Nothing was claimed");
		const failed = { state: "FAILED", afterMs: null, status: 500, error: "late", disable: false } as const;
		expect(await bench.deps.db.tx((tx) => recordAttempt(tx, late, failed))).toBe(false);
		expect(await stateOf(id)).toEqual([["PENDING", 2]]);
		expect(await bench.deps.db.tx((tx) => recordAttempt(tx, taker, { ...failed, state: "DELIVERED", error: null }))).toBe(true);
		expect(await stateOf(id)).toEqual([["DELIVERED", 2]]);
	});
});

describe("receivers that misbehave", () => {
	test("one that never answers is left at the deadline and tried again", async () => {
		const path = bench.receiver.path("hang", { status: 200 });
		const { id } = await newWebhook(bench, path);
		bench.deliverer({ deadlineMs: 200 });
		await raised();
		await until("the attempt is recorded", async () => (await deliveriesOf(bench, id))[0]?.["lastError"] ?? false);
		expect((await deliveriesOf(bench, id))[0]).toMatchObject({
			state: "PENDING",
			attempts: 1,
			lastError: "No answer within 0.2 s",
			lastStatus: null,
		});
		await passWait(bench, id);
		await until("it has arrived", async () => (await stateOf(id))[0]?.[0] === "DELIVERED");
	});

	test("a slow one leaves room: others get theirs while it holds its attempts, at most three of them", async () => {
		const slow = bench.receiver.path("hang");
		const quick = bench.receiver.path();
		await newWebhook(bench, slow);
		const { id } = await newWebhook(bench, quick);
		bench.deliverer();
		await raised(30);
		await until("the quick one has all", async () => (await stateOf(id)).every(([state]) => state === "DELIVERED"));
		expect(bench.receiver.hanging(slow)).toBeLessThanOrEqual(3);
		expect(bench.receiver.received(quick)).toHaveLength(30);
		bench.receiver.release(slow);
		await until(
			"the slow one has all",
			async () => (await rowCount(bench.database.db, "webhook_deliveries", "state <> 'DELIVERED'")) === 0,
		);
	});

	test("an endless answer is cut off; its status counts", async () => {
		const path = bench.receiver.path({ status: 200, body: "x".repeat(5_000_000) });
		const { id } = await newWebhook(bench, path);
		bench.deliverer();
		await raised();
		await until("it has arrived", async () => (await stateOf(id))[0]?.[0] === "DELIVERED");
	});

	test("one that is not there is tried again, and the tenth time given up, where it stays to be seen", async () => {
		const { id } = await newWebhook(bench, "/", { url: "http://127.0.0.1:1/" });
		const deliverer = bench.deliverer();
		await raised();
		for (let attempt = 1; attempt < 10; attempt++) {
			// What is recorded is due by the schedule; what is claimed, at the end of its lease.
			await until(`attempt ${attempt} has failed`, async () => (await deliveriesOf(bench, id))[0]?.["lastError"] ?? false);
			expect((await deliveriesOf(bench, id))[0]).toMatchObject({ state: "PENDING", attempts: attempt, due: false });
			await bench.database.db.sql`update webhook_deliveries set last_error = null where webhook_id = ${id}`;
			await passWait(bench, id);
			deliverer.wake();
		}
		await until("it is given up", async () => (await stateOf(id))[0]?.[0] === "FAILED");
		expect((await deliveriesOf(bench, id))[0]).toMatchObject({ attempts: 10, lastError: "No answer: ECONNREFUSED", due: null });
	});

	test("410 gives up what else waits for that webhook, and only for that one", async () => {
		const gone = await newWebhook(bench, bench.receiver.path({ status: 410 }));
		const other = await newWebhook(bench, bench.receiver.path());
		await raised(20);
		bench.deliverer();
		await until("nothing waits", async () => (await rowCount(bench.database.db, "webhook_deliveries", "state = 'PENDING'")) === 0);
		expect(new Set((await stateOf(gone.id)).map(([state]) => state))).toEqual(new Set(["FAILED"]));
		expect(new Set((await stateOf(other.id)).map(([state]) => state))).toEqual(new Set(["DELIVERED"]));
		expect(await rowCount(bench.database.db, "audit", `subject = '${gone.id}' and action = 'webhook.disabled' and actor = 'server'`)).toBe(
			1,
		);
		await raised();
		expect(await deliveriesOf(bench, gone.id)).toHaveLength(20);
	});

	test("an address that is no longer allowed gets nothing, though its webhook was made while it was", async () => {
		const path = bench.receiver.path();
		const { id } = await newWebhook(bench, path);
		bench.deliverer({ allowPrivate: false });
		await raised();
		const error = await until("the attempt is recorded", async () => (await deliveriesOf(bench, id))[0]?.["lastError"] ?? undefined);
		expect(String(error)).toContain("not public (loopback)");
		expect(bench.receiver.received(path)).toHaveLength(0);
	});

	test("a sealed secret of another row signs nothing: it does not open", async () => {
		const path = bench.receiver.path();
		const [one, two] = [await newWebhook(bench, path), await newWebhook(bench, bench.receiver.path())];
		await bench.database.db.sql`
			update webhooks set secret_sealed = (select secret_sealed from webhooks where id = ${two.id}) where id = ${one.id}`;
		bench.deliverer();
		await raised();
		await until("the attempt is recorded", async () => (await deliveriesOf(bench, one.id))[0]?.["lastError"] ?? false);
		expect(bench.receiver.received(path)).toHaveLength(0);
	});
});

describe("ends", () => {
	test("a server that stops gives back what it could not finish: due at once, no attempt counted", async () => {
		const path = bench.receiver.path("hang");
		const { id } = await newWebhook(bench, path);
		const deliverer = bench.deliverer();
		await raised();
		await until("the attempt is under way", () => bench.receiver.hanging(path) === 1);
		await deliverer.close();
		expect((await deliveriesOf(bench, id))[0]).toMatchObject({ state: "PENDING", attempts: 0, due: true, lastError: null });
	});

	test("a webhook deleted during an attempt takes its queue with it, and nothing fails", async () => {
		const path = bench.receiver.path("hang");
		const { id } = await newWebhook(bench, path);
		const deliverer = bench.deliverer();
		await raised();
		await until("the attempt is under way", () => bench.receiver.hanging(path) === 1);
		await deleteWebhook(bench.deps, admin, id);
		bench.receiver.release(path);
		await deliverer.close();
		expect(await rowCount(bench.database.db, "webhook_deliveries")).toBe(0);
		expect(bench.left.logged.filter((line) => line.startsWith("webhook.record_failed"))).toEqual([]);
	});

	test("what ended two weeks ago goes, a bounded number at a time; what waits stays however old", async () => {
		const { id } = await newWebhook(bench, bench.receiver.path());
		await raised(6);
		await bench.database.db.sql`
			update webhook_deliveries set state = 'FAILED', next_attempt_at = null, finished_at = now() - interval '15 days'
			where id in (select id from webhook_deliveries order by id limit 4)`;
		await bench.database.db.sql`update webhook_deliveries set created_at = now() - interval '1 year'`;
		expect([await pruneDeliveries(bench.database.db.sql, 3), await pruneDeliveries(bench.database.db.sql, 3)]).toEqual([3, 1]);
		expect(await stateOf(id)).toEqual([
			["PENDING", 0],
			["PENDING", 0],
		]);
	});
});
