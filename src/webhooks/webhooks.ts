import * as v from "valibot";
import { alertKinds } from "../alerts/alert.ts";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { plainText } from "../lib/plain-text.ts";
import { resolveTarget } from "./resolve.ts";
import { insertWebhook, lockWebhook, queueMessage, removeWebhook, webhooksByIds } from "./store.ts";
import { shownUrl, urlProblem } from "./target.ts";
import { type DeliveryRecord, secretPlace, type WebhookRecord } from "./webhook.ts";

/** Every alert is queued once a webhook that wants it, in the transaction of the enrollment that raised it. */
const webhooksMax = 50;
/** The specification asks for 24 to 64 bytes. */
const secretBytes = 32;
/** How long creating waits for a name; one that takes longer is judged at each delivery all the same. */
const resolveMs = 3_000;

const newWebhook = v.object({
	url: v.pipe(
		v.string(),
		v.trim(),
		v.check(
			(url) => urlProblem(url) === undefined,
			(issue) => `"${shownUrl(String(issue.input))}" ${urlProblem(String(issue.input))}`,
		),
	),
	kinds: v.optional(
		v.nullable(
			v.pipe(
				v.array(
					v.picklist(
						alertKinds,
						(issue) => `"${String(issue.input).slice(0, 80)}" is no kind of alert: give some of ${alertKinds.join(", ")}`,
					),
				),
				v.minLength(1, "is empty: name at least one kind, or leave it out for all"),
				v.transform((kinds) => [...new Set(kinds)]),
			),
		),
		null,
	),
	description: v.optional(
		v.nullable(
			v.pipe(
				v.string(),
				v.trim(),
				v.maxLength(200, "must have at most 200 characters"),
				v.regex(plainText, "must not hold control characters"),
			),
		),
		null,
	),
});

type Tools = Pick<Deps, "db" | "clock" | "mintId">;

/**
 * Makes a webhook. The secret that signs its messages is returned here and nowhere else; it is stored sealed. BAD_USER_INPUT for a URL that
 * cannot be one, an address that is not public unless allowed (names are resolved; one that cannot be is judged at delivery), and unknown
 * kinds; CONFLICT past 50 webhooks.
 */
export async function createWebhook(
	deps: Tools & Pick<Deps, "random" | "vault" | "settings">,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<{ readonly secret: string; readonly webhook: WebhookRecord }> {
	const input = parseInput("create the webhook", newWebhook, raw);
	const url = new URL(input.url);
	const target = await resolveTarget(url, deps.settings.webhookPrivateAddresses, AbortSignal.timeout(resolveMs));
	if (target.kind === "refused")
		throw new MusterError("BAD_USER_INPUT", `Cannot create the webhook: url "${shownUrl(input.url)}" ${target.why}`, { fields: ["url"] });

	const id = deps.mintId("webhook");
	const secret = `whsec_${Buffer.from(deps.random.bytes(secretBytes)).toString("base64")}`;
	const webhook = { id, tenantId: operator.tenantId, ...input, url: url.href, createdAt: deps.clock.now() };
	const secretSealed = deps.vault.seal(secret, secretPlace(id));
	await deps.db.tx(async (tx) => {
		if (!(await insertWebhook(tx, { ...webhook, secretSealed }, webhooksMax)))
			throw new MusterError("CONFLICT", `Cannot create the webhook: there are ${webhooksMax} already, delete one first`);
		// The URL's path may be a secret of the receiver's: the log tells only where it leads.
		await record(tx, [line(deps, operator, "webhook.created", id, { target: shownUrl(url.href), kinds: input.kinds })]);
	});
	return { secret, webhook: { ...webhook, disabledAt: null, lastDeliveredAt: null, lastError: null, pendingCount: 0, failingCount: 0 } };
}

/** Removes a webhook with what waits for it, and returns its id. NOT_FOUND when there is none. */
export async function deleteWebhook(deps: Tools, operator: OperatorPrincipal, id: string): Promise<string> {
	return deps.db.tx(async (tx) => {
		if (!(await removeWebhook(tx, operator.tenantId, id))) throw notFound("webhook", id);
		await record(tx, [line(deps, operator, "webhook.deleted", id, null)]);
		return id;
	});
}

/**
 * Queues a message of type `alert.test`, which is sent and tried again as any other. Each call sends another. NOT_FOUND when there is no such
 * webhook, CONFLICT when it is disabled.
 */
export async function testWebhook(
	deps: Tools,
	operator: OperatorPrincipal,
	id: string,
): Promise<{ readonly webhook: WebhookRecord; readonly delivery: DeliveryRecord }> {
	const delivery = await deps.db.tx(async (tx) => {
		const found = await lockWebhook(tx, operator.tenantId, id);
		if (found === undefined) throw notFound("webhook", id);
		if (found.disabled)
			throw new MusterError(
				"CONFLICT",
				`Cannot test webhook "${id}": it is disabled, since its receiver answered 410 Gone; create it anew`,
			);
		const messageId = deps.mintId("delivery");
		const at = new Date(deps.clock.now()).toISOString();
		const message = `A test of webhook ${id}: nothing has happened`;
		const data = { id: messageId, kind: "TEST", severity: "info", message, workerId: null, hostId: null, siteId: null, at };
		const queued = await queueMessage(tx, { id: messageId, tenantId: operator.tenantId, webhookId: id, data });
		if (queued === undefined) throw notFound("webhook", id);
		await record(tx, [line(deps, operator, "webhook.tested", id, { delivery: messageId })]);
		return queued;
	});
	const [webhook] = await webhooksByIds(deps.db.sql, operator.tenantId, [id]);
	if (webhook === undefined) throw notFound("webhook", id);
	return { webhook, delivery };
}

function line(deps: Tools, operator: OperatorPrincipal, action: string, subject: string, detail: Record<string, unknown> | null) {
	return { id: deps.mintId("audit"), tenantId: operator.tenantId, at: deps.clock.now(), actor: operator.actor, action, subject, detail };
}
