/** A place where a tenant's alerts are sent. Times are milliseconds since the epoch. */
export interface WebhookRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly url: string;
	/** The kinds of alert it gets; null: all. */
	readonly kinds: readonly string[] | null;
	readonly description: string | null;
	readonly createdAt: number;
	/** Since when nothing is sent there: its receiver answered 410 Gone. */
	readonly disabledAt: number | null;
	readonly lastDeliveredAt: number | null;
	/** Why the last attempt failed; null when it did not. */
	readonly lastError: string | null;
	/** Deliveries that are yet to be made. */
	readonly pendingCount: number;
	/** Those of them that have failed before and are tried again. */
	readonly failingCount: number;
}

/** A webhook to be made; its secret is sealed for `secretPlace(id)`. */
export interface NewWebhook extends Omit<WebhookRecord, "disabledAt" | "lastDeliveredAt" | "lastError" | "pendingCount" | "failingCount"> {
	readonly secretSealed: string;
}

export const deliveryStates = ["PENDING", "DELIVERED", "FAILED"] as const;
export type DeliveryState = (typeof deliveryStates)[number];

export const messageTypes = ["alert.raised", "alert.test"] as const;
export type MessageType = (typeof messageTypes)[number];

/** One message on its way to one webhook. Its id is the message's `webhook-id`, the same at every attempt. */
export interface DeliveryRecord {
	readonly id: string;
	readonly webhookId: string;
	readonly type: MessageType;
	readonly state: DeliveryState;
	readonly attempts: number;
	readonly createdAt: number;
	/** Null once it is DELIVERED or FAILED; while an attempt is under way: when it counts as lost. */
	readonly nextAttemptAt: number | null;
	/** The HTTP status of the last attempt that was answered. */
	readonly lastStatus: number | null;
	readonly lastError: string | null;
}

/** What a receiver learns of an alert: the `data` of a message. */
export interface AlertData {
	readonly id: string;
	readonly kind: string;
	readonly severity: string;
	readonly message: string;
	readonly workerId: string | null;
	readonly hostId: string | null;
	readonly siteId: string | null;
	/** The tenant's slug. */
	readonly tenant: string;
	/** RFC 3339. */
	readonly at: string;
}

/** A delivery that one server has claimed for one attempt. */
export interface ClaimedDelivery {
	readonly id: string;
	readonly tenantId: string;
	readonly webhookId: string;
	readonly url: string;
	readonly secretSealed: string;
	/** Whether its webhook was disabled after it was queued. */
	readonly disabled: boolean;
	readonly type: MessageType;
	readonly data: AlertData;
	/** Counts this attempt too. Whoever records must still find this number, else another server has claimed it since. */
	readonly attempts: number;
}

/** What the vault seals a webhook's secret for. */
export function secretPlace(webhookId: string): string {
	return `webhook secret ${webhookId}`;
}

/** The body that is signed and sent: the same bytes at every attempt. */
export function messageBody({ type, data }: Pick<ClaimedDelivery, "type" | "data">): string {
	const { id, kind, severity, message, workerId, hostId, siteId, tenant, at } = data;
	return JSON.stringify({ type, timestamp: at, data: { id, kind, severity, message, workerId, hostId, siteId, tenant, at } });
}
