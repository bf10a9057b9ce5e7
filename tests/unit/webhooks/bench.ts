/** What the tests of delivery share: two servers' parts on one database, alerts on demand, and a receiver. */
import { raiseAlerts } from "../../../src/alerts/store.ts";
import type { Tx } from "../../../src/db/port.ts";
import type { Deps } from "../../../src/deps.ts";
import { type Deliverer, type DelivererOptions, openDeliverer } from "../../../src/webhooks/deliver.ts";
import { claimDue } from "../../../src/webhooks/store.ts";
import { createWebhook } from "../../../src/webhooks/webhooks.ts";
import { type TestDatabase, testDatabase } from "../../support/db.ts";
import { admin, openPipeline, type Pipeline } from "../../support/pipeline.ts";
import { openReceiver, type Receiver } from "./receiver.ts";

export interface DeliveryBench {
	readonly database: TestDatabase;
	readonly receiver: Receiver;
	readonly left: Pipeline;
	readonly right: Pipeline;
	/** The same, where private addresses are allowed. */
	readonly deps: Deps;
	/** A deliverer of one of them; it is closed after the test. */
	deliverer(options?: DelivererOptions & { readonly pipeline?: Pipeline; readonly allowPrivate?: boolean }): Deliverer;
	closeDeliverers(): Promise<void>;
	close(): Promise<void>;
}

const allowing = (deps: Deps, allowPrivate: boolean): Deps => ({
	...deps,
	settings: { ...deps.settings, webhookPrivateAddresses: allowPrivate },
});

/** Opens it all. */
export async function openBench(): Promise<DeliveryBench> {
	const database = await testDatabase();
	const [left, right] = await Promise.all([openPipeline(database.url), openPipeline(database.url)]);
	const receiver = await openReceiver();
	const open: Deliverer[] = [];
	const closeDeliverers = async () => void (await Promise.all(open.splice(0).map((one) => one.close())));
	return {
		database,
		receiver,
		left,
		right,
		deps: allowing(left.deps, true),
		deliverer({ pipeline = left, allowPrivate = true, ...options } = {}) {
			const deliverer = openDeliverer(allowing(pipeline.deps, allowPrivate), options);
			open.push(deliverer);
			return deliverer;
		},
		closeDeliverers,
		async close() {
			await closeDeliverers();
			await receiver.close();
			await Promise.all([left.close(), right.close()]);
			await database.drop();
		},
	};
}

/** A webhook of the default tenant to a path of the receiver. */
export async function newWebhook({ deps, receiver }: DeliveryBench, path: string, more: object = {}) {
	const { secret, webhook } = await createWebhook(deps, admin, { url: receiver.urlOf(path), ...more });
	return { secret, id: webhook.id };
}

/** Raises so many alerts in this transaction, and returns their ids. */
export async function raise(deps: Deps, tx: Tx, count = 1, kind: "LOCKOUT" | "COLLISION" = "LOCKOUT"): Promise<string[]> {
	const alerts = Array.from({ length: count }, () => ({
		id: deps.mintId("alert"),
		tenantId: admin.tenantId,
		at: deps.clock.now(),
		kind,
		severity: "warning" as const,
		message: "An alert of the tests",
		workerId: null,
		hostId: null,
		siteId: null,
		acknowledgedAt: null,
		topic: null,
	}));
	await raiseAlerts(tx, alerts);
	return alerts.map(({ id }) => id);
}

/** The deliveries of a webhook as the table has them, oldest first. */
export async function deliveriesOf({ database }: DeliveryBench, webhookId: string) {
	return database.db.sql`
		select id, state, attempts, last_status, last_error, next_attempt_at <= now() as due
		from webhook_deliveries where webhook_id = ${webhookId} order by id`;
}

/** Lets the wait before the next attempt, or a lease, have passed. */
export async function passWait({ database }: DeliveryBench, webhookId: string): Promise<void> {
	await database.db
		.sql`update webhook_deliveries set next_attempt_at = date_trunc('milliseconds', now()) where webhook_id = ${webhookId} and state = 'PENDING'`;
}

/** Claims as a server does that dies afterwards. */
export function claimAndDie({ database }: DeliveryBench) {
	return claimDue(database.db.sql, { total: 8, perWebhook: 8, window: 256, leaseSeconds: 60, perTenant: 100, busy: [], busyTenants: [] });
}
