import { afterAll, beforeAll, expect, test } from "bun:test";
import { asAdmin, graphql, startMuster } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import {
	allowed,
	answeredWith,
	ask,
	create,
	createMutation,
	deleteMutation,
	newestIs,
	raiseAlert,
	show,
	testMutation,
	tokenFor,
	webhookQuery,
} from "../unit/webhooks/api.ts";
import { openReceiver, type Receiver, verified } from "../unit/webhooks/receiver.ts";
import { type Bench, metric, onEachRuntime } from "./support.ts";

let receiver: Receiver;
beforeAll(async () => {
	receiver = await openReceiver();
});
afterAll(() => receiver.close());

onEachRuntime(
	"webhooks",
	(bench: Bench, runtime) => {
		test("an alert arrives once, signed so that the standard's library accepts it, and says what happened", async () => {
			const path = receiver.path();
			const { id, secret } = await create(bench.server, receiver.urlOf(path));
			await raiseAlert(bench.server);
			await until("it has arrived", () => receiver.received(path).length > 0);
			const webhook = await newestIs(bench.server, id, "DELIVERED");
			const got = receiver.received(path);
			expect(got).toHaveLength(webhook.recentDeliveries.length);
			const [first] = got;
			if (first === undefined) throw new Error("Nothing came");
			const { alerts } = await asAdmin(
				bench.server,
				"{ alerts(first: 1) { nodes { id at kind severity message worker { id } host { id } site { id } } } }",
			);
			const [alert] = alerts.nodes;
			expect(verified(secret, first)).toEqual({
				type: "alert.raised",
				timestamp: alert.at,
				data: {
					id: alert.id,
					kind: alert.kind,
					severity: alert.severity,
					message: alert.message,
					workerId: alert.worker?.id ?? null,
					hostId: alert.host?.id ?? null,
					siteId: alert.site?.id ?? null,
					tenant: "default",
					at: alert.at,
				},
			});
			expect(first.headers).toMatchObject({
				"content-type": "application/json",
				"user-agent": "Muster",
				host: `127.0.0.1:${receiver.port}`,
				"webhook-id": webhook.recentDeliveries[0].id,
			});
			expect(webhook).toMatchObject({ lastError: null, disabledAt: null, pendingCount: 0, failingCount: 0 });
			expect(webhook.lastDeliveredAt).not.toBeNull();
			expect(webhook.recentDeliveries[0]).toMatchObject({ type: "alert.raised", attempts: 1, lastStatus: 200, nextAttemptAt: null });
			const forged = { ...first, body: first.body.replace(alert.severity, "none") };
			expect(() => verified(secret, forged)).toThrow("No matching signature");
		});

		test("a receiver that fails and comes back gets the message again, under the same id and newly signed", async () => {
			const path = receiver.path({ status: 500 }, { status: 200 });
			const { id, secret } = await create(bench.server, receiver.urlOf(path));
			await asAdmin(bench.server, testMutation, {
				id,
			});
			await answeredWith(bench.server, id, 500);
			expect(await show(bench.server, id)).toMatchObject({
				pendingCount: 1,
				failingCount: 1,
				lastError: "The receiver answered 500",
				lastDeliveredAt: null,
				recentDeliveries: [{ state: "PENDING", attempts: 1, type: "alert.test" }],
			});
			await bench.database.db.sql`update webhook_deliveries set next_attempt_at = now() where webhook_id = ${id}`;
			const webhook = await newestIs(bench.server, id, "DELIVERED");
			expect(webhook).toMatchObject({
				lastError: null,
				failingCount: 0,
				recentDeliveries: [{ attempts: 2, lastStatus: 200, lastError: null }],
			});
			const got = receiver.received(path);
			expect(got.map((one) => verified(secret, one).type)).toEqual(["alert.test", "alert.test"]);
			expect(new Set(got.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
			expect(got[0]?.body).toBe(String(got[1]?.body));
			expect(await metric(bench.server, 'muster_webhook_attempts_total{result="retried"}')).toBeGreaterThan(0);
			expect(await metric(bench.server, 'muster_webhook_attempts_total{result="delivered"}')).toBeGreaterThan(0);
		});

		test("a receiver that asks to wait is not asked sooner", async () => {
			const path = receiver.path({ status: 503, headers: { "retry-after": "3600" } });
			const { id } = await create(bench.server, receiver.urlOf(path));
			await asAdmin(bench.server, testMutation, { id });
			await answeredWith(bench.server, id, 503);
			const [{ nextAttemptAt }] = (await show(bench.server, id)).recentDeliveries;
			expect(Date.parse(nextAttemptAt) - Date.now()).toBeGreaterThan(3_000_000);
		});

		test("410 Gone disables the webhook: nothing more is queued, a test is refused with the remedy, the audit log tells", async () => {
			const path = receiver.path({ status: 410 });
			const { id } = await create(bench.server, receiver.urlOf(path));
			await asAdmin(bench.server, testMutation, { id });
			const webhook = await newestIs(bench.server, id, "FAILED");
			expect(webhook).toMatchObject({ pendingCount: 0, recentDeliveries: [{ lastStatus: 410, attempts: 1 }] });
			expect(webhook.disabledAt).not.toBeNull();
			const again = await ask(bench.server, bench.server.adminToken, testMutation, {
				id,
			});
			expect(again.errors[0]).toMatchObject({ message: expect.stringContaining("create it anew"), extensions: { code: "CONFLICT" } });
			await raiseAlert(bench.server);
			expect(await rowCount(bench.database.db, "webhook_deliveries", `webhook_id = '${id}'`)).toBe(1);
			expect(await rowCount(bench.database.db, "audit", `subject = '${id}' and action = 'webhook.disabled'`)).toBe(1);
		});

		test("a redirect is not followed: the message and its signature go nowhere else", async () => {
			const other = receiver.path();
			const path = receiver.path({ status: 307, headers: { location: receiver.urlOf(other) } });
			const { id } = await create(bench.server, receiver.urlOf(path));
			await asAdmin(bench.server, testMutation, { id });
			await answeredWith(bench.server, id, 307);
			expect(await show(bench.server, id)).toMatchObject({ pendingCount: 1, lastError: "The receiver answered 307" });
			expect(receiver.received(other)).toHaveLength(0);
		});

		test("the Host header is the URL's, though the address was resolved before", async () => {
			const path = receiver.path();
			const url = `http://localhost:${receiver.port}${path}`;
			const { id } = await create(bench.server, url);
			await asAdmin(bench.server, testMutation, { id });
			await newestIs(bench.server, id, "DELIVERED");
			expect(receiver.received(path)[0]?.headers.host).toBe(`localhost:${receiver.port}`);
		});

		test("the secret is shown once: sealed in the table, in no reply, no log and no audit line afterwards", async () => {
			const { id, secret } = await create(bench.server, receiver.urlOf(receiver.path()), { description: "ours" });
			expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
			const [row] = await bench.database.db.sql`select to_jsonb(w) as it from webhooks w where id = ${id}`;
			expect(row?.["it"].secret_sealed).toMatch(/^v1\.[0-9a-f]{8}\./);
			const key = secret.slice("whsec_".length);
			const dumps = await bench.database.db.sql`
				select (select jsonb_agg(to_jsonb(w)) from webhooks w)::text || (select jsonb_agg(to_jsonb(d)) from webhook_deliveries d)::text
					|| (select jsonb_agg(to_jsonb(a)) from audit a)::text || (select jsonb_agg(to_jsonb(e)) from events e)::text as dump`;
			expect(String(dumps[0]?.["dump"])).toContain(id);
			expect(String(dumps[0]?.["dump"])).not.toContain(key);
			expect(bench.server.stderr()).not.toContain(key);
			const { __type } = await asAdmin(bench.server, '{ __type(name: "Webhook") { fields { name } } }');
			expect(JSON.stringify(__type)).not.toMatch(/secret/i);
		});

		test("creating, testing and deleting are in the audit log, without the URL's path", async () => {
			const path = receiver.path();
			const { id } = await create(bench.server, receiver.urlOf(path), { kinds: ["COLLISION", "LOCKOUT", "COLLISION"] });
			await asAdmin(bench.server, testMutation, { id });
			const { deleteWebhook } = await asAdmin(bench.server, deleteMutation, { id });
			expect(deleteWebhook.deletedId).toBe(id);
			expect(await show(bench.server, id)).toBeNull();
			const lines = await bench.database.db.sql`select action, detail from audit where subject = ${id} order by id`;
			expect(lines.map(({ action }) => action)).toEqual(["webhook.created", "webhook.tested", "webhook.deleted"]);
			expect(lines[0]?.["detail"]).toEqual({ target: `http://127.0.0.1:${receiver.port}`, kinds: ["COLLISION", "LOCKOUT"] });
		});

		test("what cannot be a webhook is refused with its value and the remedy", async () => {
			const cases: [object, string, string][] = [
				[{ url: "ftp://hooks.example.net/" }, "url", '"ftp://hooks.example.net" is no http or https URL'],
				[{ url: "http://user:geheim@127.0.0.1/" }, "url", "holds credentials: leave them out"],
				[{ url: "http://127.0.0.1/#x" }, "url", "holds a fragment"],
				[{ url: "http://127.0.0.1/", kinds: ["COLISION"] }, "kinds.0", '"COLISION" is no kind of alert: give some of COLLISION'],
				[{ url: "http://127.0.0.1/", kinds: [] }, "kinds", "name at least one kind"],
				[{ url: "http://127.0.0.1/", description: "a\u0000b" }, "description", "control characters"],
			];
			for (const [input, field, message] of cases) {
				const { errors } = await ask(bench.server, bench.server.adminToken, createMutation, { input });
				expect(errors[0]?.message).toContain(message);
				expect(errors[0]?.message).not.toContain("geheim");
				expect(errors[0]?.extensions).toMatchObject({ code: "BAD_USER_INPUT", fields: [field] });
			}
		});

		test("a viewer and an operator see webhooks and change none", async () => {
			const { id } = await create(bench.server, receiver.urlOf(receiver.path()));
			for (const role of ["viewer", "operator"] as const) {
				const token = await tokenFor(role);
				expect((await ask(bench.server, token, webhookQuery, { id })).data.node.id).toBe(id);
				const mutations: [string, object][] = [
					[createMutation, { input: { url: "https://hooks.example.net/" } }],
					[deleteMutation, { id }],
					[testMutation, { id }],
				];
				for (const [query, variables] of mutations)
					expect((await ask(bench.server, token, query, variables)).errors[0]?.extensions?.["code"]).toBe("FORBIDDEN");
			}
			expect((await graphql(bench.server, "{ webhooks { totalCount } }")).errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
		});

		test("another tenant's webhook answers exactly like a missing one, and gets none of this tenant's alerts", async () => {
			const path = receiver.path();
			const { id } = await create(bench.server, receiver.urlOf(path));
			const stranger = await tokenFor("admin", `t-${hex(6)}`);
			const missing = `${id.slice(0, -4)}zzzz`;
			for (const query of [webhookQuery, deleteMutation, testMutation]) {
				const [hidden, none] = [
					await ask(bench.server, stranger, query, { id }),
					await ask(bench.server, stranger, query, { id: missing }),
				];
				expect(JSON.stringify([hidden.status, hidden.data, hidden.errors]).replaceAll(id, missing)).toBe(
					JSON.stringify([none.status, none.data, none.errors]),
				);
			}
			const list = "{ webhooks { totalCount nodes { id recentDeliveries { id } } } }";
			expect((await ask(bench.server, stranger, list)).data.webhooks).toEqual({ totalCount: 0, nodes: [] });
			const theirs = receiver.path();
			await ask(bench.server, stranger, createMutation, { input: { url: receiver.urlOf(theirs) } });
			await raiseAlert(bench.server);
			await newestIs(bench.server, id, "DELIVERED");
			expect((await ask(bench.server, stranger, list)).data.webhooks.nodes[0].recentDeliveries).toEqual([]);
			expect(receiver.received(theirs)).toHaveLength(0);
		});

		test("two servers on one database send each alert once", async () => {
			const second = await startMuster({ runtime, databaseUrl: bench.database.url, env: allowed });
			try {
				const path = receiver.path();
				const { id, secret } = await create(bench.server, receiver.urlOf(path));
				await Promise.all([bench.server, second, bench.server, second].map(raiseAlert));
				await until("all have been sent", async () => {
					const { pendingCount, recentDeliveries } = await show(second, id);
					return pendingCount === 0 && recentDeliveries.length >= 4;
				});
				const ids = receiver.received(path).map((one) => verified(secret, one).data.id);
				expect(new Set(ids).size).toBe(ids.length);
				expect(ids).toHaveLength((await show(second, id)).recentDeliveries.length);
			} finally {
				await second.stop();
			}
		});
	},
	allowed,
);
