/** Only what somebody here listens for is read from the outbox; beginning to listen loses nothing. */
import { expect, test } from "bun:test";
import type { Db } from "../../../src/db/port.ts";
import type { AlertRecord } from "../../../src/alerts/alert.ts";
import type { AttemptRecord } from "../../../src/enrollment/attempt.ts";
import { insertAttempts } from "../../../src/enrollment/attempt-store.ts";
import { append } from "../../../src/events/outbox.ts";
import { openPostgresBus } from "../../../src/events/postgres-bus.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { type Log, silentLog } from "../../../src/lib/log.ts";
import { createMetrics } from "../../../src/metrics/registry.ts";
import { testDatabase } from "../../support/db.ts";

const tenantId = "ten_1";
const alert = (id: string) =>
	({ tenantId, event: { kind: "alert", alert: { id, tenantId } as AlertRecord } }) as const satisfies Parameters<typeof append>[1][number];
const command = { tenantId, event: { kind: "command", commandId: "cmd_1", hostId: "host_1", state: "QUEUED" } } as const;

/** A bus whose reads of the outbox wait for `gate`, once they were asked for. */
async function opened(log: Log = silentLog) {
	const database = await testDatabase();
	let gate = Promise.resolve();
	let asked = Promise.withResolvers<void>();
	const gated = new Proxy(database.db.sql, {
		apply(sql, self, [strings, ...values]: [TemplateStringsArray, ...unknown[]]) {
			const ask = () => Reflect.apply(sql, self, [strings, ...values]) as unknown;
			if (!strings.join("").includes("from page")) return ask();
			asked.resolve();
			return gate.then(ask);
		},
	});
	const db: Db = { ...database.db, sql: gated };
	const bus = await openPostgresBus({ db, clock: systemClock, log, metrics: createMetrics(), processId: "one" });
	return {
		bus,
		attempted: (attempt: AttemptRecord) => database.db.tx((tx) => insertAttempts(tx, [attempt])),
		write: (events: Parameters<typeof append>[1]) => database.db.tx((tx) => append(tx, events)),
		hold() {
			const { promise, resolve } = Promise.withResolvers<void>();
			gate = promise;
			asked = Promise.withResolvers();
			return { asked: asked.promise, release: resolve };
		},
		async [Symbol.asyncDispose]() {
			await bus.close();
			await database.drop();
		},
	};
}

test("H18: an event that commits after somebody began to listen is heard, though the read under way was asked for without its kind", async () => {
	await using stage = await opened();
	const gate = stage.hold();
	await stage.write([command]);
	await gate.asked;
	const heard = Promise.withResolvers<string>();
	stage.bus.onEvent(["alert"], ({ event }) => heard.resolve(event.alert.id));
	await stage.write([alert("alrt_1")]);
	gate.release();
	expect(await heard.promise).toBe("alrt_1");
});

test("H18: everybody hears the kinds they asked for, in order and once, and none of the others", async () => {
	await using stage = await opened();
	const [alerts, commands, both]: [string[], string[], string[]] = [[], [], []];
	const last = Promise.withResolvers<void>();
	stage.bus.onEvent(["alert"], ({ event }) => void alerts.push(event.alert.id));
	stage.bus.onEvent(["command"], ({ event }) => void commands.push(event.commandId));
	stage.bus.onEvent(["alert", "command"], ({ event }) => {
		both.push(event.kind);
		if (both.length === 4) last.resolve();
	});
	await stage.write([alert("alrt_1"), command, alert("alrt_2")]);
	await stage.write([command]);
	await last.promise;
	expect({ alerts, commands, both }).toEqual({
		alerts: ["alrt_1", "alrt_2"],
		commands: ["cmd_1", "cmd_1"],
		both: ["alert", "command", "alert", "command"],
	});
});

test("H18: a listener that throws keeps nobody else from hearing, and is named in the log", async () => {
	const said: string[] = [];
	await using stage = await opened({ ...silentLog, error: (event) => void said.push(event) });
	stage.bus.onEvent(["alert"], () => {
		throw new Error("of a test");
	});
	const heard = Promise.withResolvers<string>();
	stage.bus.onEvent(["alert"], ({ event }) => heard.resolve(event.alert.id));
	await stage.write([alert("alrt_3")]);
	expect(await heard.promise).toBe("alrt_3");
	expect(said).toEqual(["events.listener_failed"]);
});

test("H18: an attempt is delivered as it was written, though the outbox only names it; one that was pruned meanwhile holds up nothing", async () => {
	await using stage = await opened();
	const attempt: AttemptRecord = {
		id: "att_1",
		tenantId,
		at: 1_800_000_000_123,
		method: "SITE_KEY",
		accepted: false,
		outcome: null,
		reason: "bad_secret",
		sourceAddress: "192.0.2.1",
		claimedName: "robot",
		hostname: null,
		machineUid: "uid-1",
		siteId: null,
		hostId: null,
		workerId: null,
		keyId: "key_1",
	};
	const pruned = { tenantId, event: { kind: "attempt", attempt: { ...attempt, id: "att_0" } } } as const;
	const heard = Promise.withResolvers<AttemptRecord>();
	stage.bus.onEvent(["attempt"], ({ event }) => heard.resolve(event.attempt));
	await stage.attempted(attempt);
	await stage.write([pruned, { tenantId, event: { kind: "attempt", attempt } }]);
	expect(await heard.promise).toEqual(attempt);
});
