import { describe, expect, test } from "bun:test";
import type { WorkerPrincipal } from "../../src/auth/principal.ts";
import { sweepStaleHosts } from "../../src/hosts/hosts.ts";
import { admin, enrollInput, holding, lockWaiters, newSite, type Pipeline, rowCount, staleSeconds } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";
import { until } from "../support/until.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

/** A worker whose host has not been heard for longer than it may. */
async function staleWorker(): Promise<WorkerPrincipal & { readonly hostId: string }> {
	const site = await newSite(left.deps);
	const result = await left.enroller.enroll(enrollInput(site), "192.0.2.1");
	if (result.kind !== "enrolled") throw new Error(JSON.stringify(result));
	const { workerId, hostId, name } = result;
	await database.db.sql`update hosts set monitoring_since = now() - ${staleSeconds + 10} * interval '1 second' where id = ${hostId}`;
	return { kind: "worker", tenantId: admin.tenantId, workerId, credentialId: "unused", name, hostId, siteId: site.siteId };
}

const sweep = (pipeline: Pipeline) => sweepStaleHosts(pipeline.deps, staleSeconds);

/** One beat, until it is written. */
async function beat(worker: WorkerPrincipal, sequence: number): Promise<void> {
	right.heartbeats.beat(worker, { sequence });
	await until(
		`beat ${sequence} is written`,
		async () => (await rowCount(database.db, "heartbeats", `worker_id = '${worker.workerId}' and sequence = ${sequence}`)) === 1,
	);
}

async function stateOf(hostId: string): Promise<unknown> {
	return (await database.db.sql`select state from hosts where id = ${hostId}`)[0]?.["state"];
}

async function becomes(hostId: string, state: string): Promise<void> {
	await until(`host ${hostId} becomes ${state}`, async () => (await stateOf(hostId)) === state);
}

describe("a sweep and a heartbeat at once (H13)", () => {
	test("a beat written while the sweep holds the host: degraded by the sweep, MONITORING after the next beat", async () => {
		const worker = await staleWorker();
		// The sweep has chosen and moved the host, and stops where it writes its alert.
		const lock = await holding(database.db, "lock table alerts in share mode");
		const swept = sweep(left);
		await lockWaiters(database.db, 1);
		await beat(worker, 1);
		await lock.release();
		expect(await swept).toBe(1);
		expect(await stateOf(worker.hostId)).toBe("DEGRADED");
		await beat(worker, 2);
		await becomes(worker.hostId, "MONITORING");
		const alerts = await database.db.sql`select kind from alerts where host_id = ${worker.hostId} order by id`;
		expect(alerts.map(({ kind }) => kind)).toEqual(["HOST_DEGRADED", "HOST_RECOVERED"]);
	});

	test("a beat written before the sweep: the host is not swept", async () => {
		const worker = await staleWorker();
		await beat(worker, 1);
		expect(await sweep(left)).toBe(0);
		expect(await stateOf(worker.hostId)).toBe("MONITORING");
	});

	test("a beat after the sweep lifts it, and the next sweep leaves it alone", async () => {
		const worker = await staleWorker();
		expect(await sweep(left)).toBe(1);
		expect(await stateOf(worker.hostId)).toBe("DEGRADED");
		await beat(worker, 1);
		await becomes(worker.hostId, "MONITORING");
		expect(await sweep(right)).toBe(0);
	});

	test("two servers that sweep at once take each host once: one alert, one audit line, one event a host", async () => {
		const workers = await Promise.all(Array.from({ length: 20 }, staleWorker));
		const swept = await Promise.all([sweep(left), sweep(right), sweep(left), sweep(right)]);
		expect(swept.reduce((sum, one) => sum + one, 0)).toBe(20);
		const ids = workers.map(({ hostId }) => `'${hostId}'`).join(",");
		expect(await rowCount(database.db, "alerts", `host_id in (${ids}) and kind = 'HOST_DEGRADED'`)).toBe(20);
		expect(await rowCount(database.db, "audit", `subject in (${ids}) and action = 'host.degraded'`)).toBe(20);
		expect(await rowCount(database.db, "hosts", `id in (${ids}) and state = 'DEGRADED' and last_known_state = 'MONITORING'`)).toBe(20);
	});
});
