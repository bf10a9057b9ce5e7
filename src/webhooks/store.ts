import * as v from "valibot";
import type { Sql, Tx } from "../db/port.ts";
import { count, parseFirst, parseRows, time } from "../db/rows.ts";
import {
	type AlertData,
	type ClaimedDelivery,
	type DeliveryRecord,
	deliveryStates,
	messageTypes,
	type NewWebhook,
	type WebhookRecord,
} from "./webhook.ts";

/**
 * The queue's times are the database's own clock, not a server's: a lease that one server takes ends for all of them at the same moment,
 * however their clocks differ.
 */
const row = v.object({
	id: v.string(),
	tenantId: v.string(),
	url: v.string(),
	kinds: v.nullable(v.array(v.string())),
	description: v.nullable(v.string()),
	createdAt: time,
	disabledAt: v.nullable(time),
	lastDeliveredAt: v.nullable(time),
	lastError: v.nullable(v.string()),
	pendingCount: count,
	failingCount: count,
});

const deliveryRow = v.object({
	id: v.string(),
	webhookId: v.string(),
	type: v.picklist(messageTypes),
	state: v.picklist(deliveryStates),
	attempts: v.number(),
	createdAt: time,
	nextAttemptAt: v.nullable(time),
	lastStatus: v.nullable(v.number()),
	lastError: v.nullable(v.string()),
});

const claimedRow = v.object({
	id: v.string(),
	tenantId: v.string(),
	webhookId: v.string(),
	url: v.string(),
	secretSealed: v.string(),
	disabled: v.boolean(),
	type: v.picklist(messageTypes),
	data: v.object({
		id: v.string(),
		kind: v.string(),
		severity: v.string(),
		message: v.string(),
		workerId: v.nullable(v.string()),
		hostId: v.nullable(v.string()),
		siteId: v.nullable(v.string()),
		tenant: v.string(),
		at: v.string(),
	}),
	attempts: v.number(),
});

function selected(sql: Sql) {
	return sql`
		select w.id, w.tenant_id, w.url, w.kinds, w.description, w.created_at, w.disabled_at, w.last_delivered_at, w.last_error,
			q.pending_count, q.failing_count
		from webhooks w cross join lateral (
			select count(*) as pending_count, count(*) filter (where d.last_error is not null) as failing_count
			from webhook_deliveries d where d.tenant_id = w.tenant_id and d.webhook_id = w.id and d.state = 'PENDING') q`;
}

function deliveryColumns(sql: Sql | Tx) {
	return sql`d.id, d.webhook_id, d.type, d.state, d.attempts, d.created_at, d.next_attempt_at, d.last_status, d.last_error`;
}

/** Adds a webhook unless the tenant has `limit` of them; whether it did. Creations of one tenant follow each other, so the limit is exact. */
export async function insertWebhook(tx: Tx, webhook: NewWebhook, limit: number): Promise<boolean> {
	await tx`select id from tenants where id = ${webhook.tenantId} for no key update`;
	const rows = await tx`
		insert into webhooks (id, tenant_id, url, kinds, description, secret_sealed, created_at)
		select ${webhook.id}::text, ${webhook.tenantId}::text, ${webhook.url}::text,
			${webhook.kinds === null ? null : [...webhook.kinds]}::text[], ${webhook.description}::text, ${webhook.secretSealed}::text,
			${new Date(webhook.createdAt)}::timestamptz
		where (select count(*) from webhooks where tenant_id = ${webhook.tenantId}) < ${limit}
		returning id`;
	return rows.length > 0;
}

/** Removes a webhook with its deliveries; whether there was one. An attempt under way ends, and is recorded nowhere. */
export async function removeWebhook(tx: Tx, tenantId: string, id: string): Promise<boolean> {
	const rows = await tx`delete from webhooks where tenant_id = ${tenantId} and id = ${id} returning id`;
	return rows.length > 0;
}

/** Whether a webhook is disabled, undefined when there is none. It is not deleted before the transaction ends. */
export async function lockWebhook(tx: Tx, tenantId: string, id: string): Promise<{ readonly disabled: boolean } | undefined> {
	const rows = await tx`
		select disabled_at is not null as disabled from webhooks where tenant_id = ${tenantId} and id = ${id} for no key update`;
	return parseFirst(v.object({ disabled: v.boolean() }), rows);
}

/** Webhooks by id, of one tenant. */
export async function webhooksByIds(sql: Sql, tenantId: string, ids: readonly string[]): Promise<WebhookRecord[]> {
	return parseRows(
		row,
		await sql`${selected(sql)} where w.tenant_id = ${tenantId} and w.id = any (${[...ids]}::text[]) limit ${ids.length}`,
	);
}

/** One page of webhooks, newest first; `backward` walks from the other end and returns oldest first. */
export async function pageOfWebhooks(
	sql: Sql,
	tenantId: string,
	page: { readonly after?: string; readonly before?: string; readonly limit: number; readonly backward: boolean },
): Promise<WebhookRecord[]> {
	return parseRows(
		row,
		await sql`
		${selected(sql)} where w.tenant_id = ${tenantId}
			${page.after === undefined ? sql`` : sql`and w.id < ${page.after}`}
			${page.before === undefined ? sql`` : sql`and w.id > ${page.before}`}
		order by w.id ${page.backward ? sql`asc` : sql`desc`} limit ${page.limit}`,
	);
}

/** How many webhooks the tenant has. */
export async function countWebhooks(sql: Sql, tenantId: string): Promise<number> {
	const rows = await sql`select count(*) as total from webhooks where tenant_id = ${tenantId}`;
	return parseFirst(v.object({ total: count }), rows)?.total ?? 0;
}

/** The newest deliveries of each of these webhooks, at most `each` a webhook, newest first. */
export async function recentDeliveries(sql: Sql, tenantId: string, webhookIds: readonly string[], each: number): Promise<DeliveryRecord[]> {
	const rows = await sql`
		select ${deliveryColumns(sql)} from unnest(${[...webhookIds]}::text[]) as wanted (id) cross join lateral (
			select * from webhook_deliveries where tenant_id = ${tenantId} and webhook_id = wanted.id order by id desc limit ${each}) d
		order by d.id desc limit ${webhookIds.length * each}`;
	return parseRows(deliveryRow, rows);
}

/**
 * Queues a delivery of each alert to each webhook of its tenant that wants its kind, in the transaction that raises the alerts. The webhooks
 * are locked against deletion first: an alert is raised or not by its own merits, never refused because a webhook goes at that moment.
 */
export async function queueAlerts(tx: Tx, alertIds: readonly string[]): Promise<void> {
	if (alertIds.length === 0) return;
	await tx`
		insert into webhook_deliveries (id, tenant_id, webhook_id, type, data, state, attempts, created_at, next_attempt_at)
		select
			-- An id that sorts by the alert's time (the first ten of a ULID) and is of this alert and webhook.
			'dlv_' || substr(a.id, 6, 10) || substr(encode(sha256(convert_to(a.id || w.id, 'UTF8')), 'hex'), 1, 16),
			a.tenant_id, w.id, 'alert.raised',
			jsonb_build_object('id', a.id, 'kind', a.kind, 'severity', a.severity, 'message', a.message, 'workerId', a.worker_id,
				'hostId', a.host_id, 'siteId', a.site_id, 'tenant', t.slug,
				'at', to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
			-- The column keeps milliseconds and rounds: due at once must not be due in half of one, after whoever is woken has looked.
			'PENDING', 0, now(), date_trunc('milliseconds', now())
		from alerts a
			join tenants t on t.id = a.tenant_id
			join webhooks w on w.tenant_id = a.tenant_id and w.disabled_at is null and (w.kinds is null or a.kind = any (w.kinds))
		where a.id = any (${[...alertIds]}::text[])
		for key share of w`;
}

/** Queues one message for one webhook. `data` lacks the tenant's slug, which is filled in. */
export async function queueMessage(
	tx: Tx,
	message: { readonly id: string; readonly tenantId: string; readonly webhookId: string; readonly data: Omit<AlertData, "tenant"> },
): Promise<DeliveryRecord | undefined> {
	const rows = await tx`
		insert into webhook_deliveries as d (id, tenant_id, webhook_id, type, data, state, attempts, created_at, next_attempt_at)
		select ${message.id}::text, t.id, ${message.webhookId}::text, 'alert.test',
			${tx.json(message.data as never)}::jsonb || jsonb_build_object('tenant', t.slug), 'PENDING', 0, now(), date_trunc('milliseconds', now())
		from tenants t where t.id = ${message.tenantId}
		returning ${deliveryColumns(tx)}`;
	return parseFirst(deliveryRow, rows);
}

/** What one claim may take. */
export interface ClaimLimits {
	readonly total: number;
	/** At most so many of one webhook, so that a slow receiver leaves room for the others. */
	readonly perWebhook: number;
	/** The same for one tenant. */
	readonly perTenant: number;
	/** How many due deliveries are looked at; those of `busy` webhooks are not counted. */
	readonly window: number;
	readonly leaseSeconds: number;
	/** Webhooks of which none is taken. */
	readonly busy: readonly string[];
	/** Tenants of which none is taken. */
	readonly busyTenants: readonly string[];
}

/**
 * Claims due deliveries, longest due first, for one attempt each. Of several servers one gets each: what another is claiming is skipped, and what
 * it has claimed is not due before its lease has ended. A server that dies leaves them to whoever asks after that.
 */
export async function claimDue(sql: Sql, limits: ClaimLimits): Promise<ClaimedDelivery[]> {
	const rows = await sql`
		with ranked as (
			select due.id, due.next_attempt_at, row_number() over (partition by due.webhook_id order by due.next_attempt_at, due.id) as place,
				row_number() over (partition by due.tenant_id order by due.next_attempt_at, due.id) as tenant_place
			from (
				select id, tenant_id, webhook_id, next_attempt_at from webhook_deliveries
				where state = 'PENDING' and next_attempt_at <= now() and webhook_id <> all (${[...limits.busy]}::text[])
					and tenant_id <> all (${[...limits.busyTenants]}::text[])
				order by next_attempt_at limit ${limits.window}
			) due
		), chosen as (
			select id from ranked where place <= ${limits.perWebhook} and tenant_place <= ${limits.perTenant} order by next_attempt_at, id limit ${limits.total}
		), locked as materialized (
			-- The conditions again: another server may have claimed a row, and committed, since it was chosen.
			select id from webhook_deliveries
			where id in (select id from chosen) and state = 'PENDING' and next_attempt_at <= now()
			for update skip locked
		)
		update webhook_deliveries d set attempts = d.attempts + 1, next_attempt_at = now() + ${limits.leaseSeconds} * interval '1 second'
		from locked, webhooks w
		where d.id = locked.id and w.tenant_id = d.tenant_id and w.id = d.webhook_id
		returning d.id, d.tenant_id, d.webhook_id, w.url, w.secret_sealed, w.disabled_at is not null as disabled, d.type, d.data, d.attempts`;
	return parseRows(claimedRow, rows);
}

/** What an attempt came to, as it is stored. */
export interface AttemptRecord {
	readonly state: "PENDING" | "DELIVERED" | "FAILED";
	/** Milliseconds until the next attempt; null unless PENDING. */
	readonly afterMs: number | null;
	readonly status: number | null;
	readonly error: string | null;
	/** Whether the webhook is to be disabled, and what waits for it given up. */
	readonly disable: boolean;
}

/**
 * Records an attempt, unless the delivery went or was claimed anew since: whether it did. The webhook's row is locked first, in the order that
 * deleting it takes.
 */
export async function recordAttempt(tx: Tx, delivery: ClaimedDelivery, attempt: AttemptRecord): Promise<boolean> {
	const { tenantId, webhookId } = delivery;
	if ((await lockWebhook(tx, tenantId, webhookId)) === undefined) return false;
	const recorded = await tx`
		update webhook_deliveries
		set state = ${attempt.state}, next_attempt_at = now() + ${attempt.afterMs}::double precision * interval '1 millisecond',
			finished_at = case when ${attempt.state}::text <> 'PENDING' then now() end,
			last_status = coalesce(${attempt.status}::integer, last_status), last_error = ${attempt.error}
		where id = ${delivery.id} and state = 'PENDING' and attempts = ${delivery.attempts}
		returning id`;
	if (recorded.length === 0) return false;
	await tx`
		update webhooks
		set last_delivered_at = case when ${attempt.state}::text = 'DELIVERED' then now() else last_delivered_at end, last_error = ${attempt.error},
			disabled_at = case when ${attempt.disable}::boolean then coalesce(disabled_at, now()) else disabled_at end
		where tenant_id = ${tenantId} and id = ${webhookId}`;
	return true;
}

/** Gives up a bounded number of a disabled webhook's waiting deliveries; the rest are given up when they are claimed. Returns how many. */
export async function giveUpWaiting(tx: Tx, tenantId: string, webhookId: string, error: string, limit: number): Promise<number> {
	const gone = await tx`
		with waiting as materialized (
			select id from webhook_deliveries where tenant_id = ${tenantId} and webhook_id = ${webhookId} and state = 'PENDING'
			limit ${limit} for update skip locked)
		update webhook_deliveries d set state = 'FAILED', next_attempt_at = null, finished_at = now(), last_error = ${error}
		from waiting where d.id = waiting.id`;
	return gone.count;
}

/** Gives a claim back, as if the attempt had never begun: due at once. Nothing happens when it was claimed anew since. */
export async function releaseClaim(sql: Sql, delivery: ClaimedDelivery): Promise<void> {
	await sql`
		update webhook_deliveries set attempts = attempts - 1, next_attempt_at = now()
		where id = ${delivery.id} and state = 'PENDING' and attempts = ${delivery.attempts}`;
}

/** Deletes a bounded number of deliveries that ended two weeks ago or earlier, well or badly. Returns how many went. */
export async function pruneDeliveries(sql: Sql, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select id from webhook_deliveries where state <> 'PENDING' and finished_at < now() - interval '14 days'
			order by finished_at limit ${limit} for update skip locked)
		delete from webhook_deliveries d using old where d.id = old.id`;
	return gone.count;
}

/** Every sealed secret; locked for sealing it anew under another master key. */
export async function sealedSecrets(tx: Tx, lock: boolean): Promise<readonly { readonly id: string; readonly sealed: string }[]> {
	const rows = await tx`select id, secret_sealed as sealed from webhooks order by id ${lock ? tx`for update` : tx``}`;
	return parseRows(v.object({ id: v.string(), sealed: v.string() }), rows);
}

/** Puts a secret that was sealed anew in its place. */
export async function replaceSealedSecret(tx: Tx, id: string, sealed: string): Promise<void> {
	await tx`update webhooks set secret_sealed = ${sealed} where id = ${id}`;
}
