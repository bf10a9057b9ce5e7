/** Heartbeats come in bulk: a flush larger than a subscriber's buffer is no reason to cut one that reads. */
import { expect, test } from "bun:test";
import type { OperatorPrincipal } from "../../../src/auth/principal.ts";
import type { HeartbeatSignal } from "../../../src/events/event.ts";
import { openPostgresBus } from "../../../src/events/postgres-bus.ts";
import { subscriberBufferMax, subscription } from "../../../src/events/subscribe.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { createMetrics } from "../../../src/metrics/registry.ts";
import { testDatabase } from "../../support/db.ts";

const beat = (index: number): HeartbeatSignal => ({
	tenantId: "ten_1",
	workerId: `wrk_${index}`,
	hostId: null,
	siteId: null,
	name: "a robot",
	at: index,
	load1: null,
	memoryUsedBytes: null,
	uptimeSeconds: null,
});

test("a fleet that comes back at once is told of in full, and no subscriber that reads is cut (H10)", async () => {
	const database = await testDatabase();
	const metrics = createMetrics();
	const bus = await openPostgresBus({ db: database.db, clock: systemClock, log: silentLog, metrics, processId: "one" });
	try {
		let fellBehind = 0;
		const expiresAt = Number.MAX_SAFE_INTEGER;
		const principal: OperatorPrincipal = { kind: "operator", tenantId: "ten_1", role: "viewer", subject: "", actor: "", expiresAt };
		const subscriber = {
			fellBehind: () => void fellBehind++,
			signal: new AbortController().signal,
			deps: { metrics, clock: systemClock },
			principal,
		};
		const beats = Array.from({ length: subscriberBufferMax * 3 }, (_none, index) => beat(index));
		const heard = subscription<readonly HeartbeatSignal[], HeartbeatSignal>(subscriber, bus.onHeartbeat, (signals) => signals);
		const first = heard.next();
		const published = bus.publishHeartbeats(beats);
		const ids: string[] = [(await first).value?.workerId ?? ""];
		for await (const { workerId } of heard) if (ids.push(workerId) === beats.length) break;
		await published;
		expect(ids).toEqual(beats.map(({ workerId }) => workerId));
		expect(fellBehind).toBe(0);
	} finally {
		await bus.close();
		await database.drop();
	}
});
