/** Two who would decide the end of a fusion, in both orders: by holding the host's row, so that the second has begun before the first has committed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { reportCommand } from "../../src/commands/report.ts";
import { followWorkers } from "../../src/fuse/docker.ts";
import { fuseHost, unfuseHost } from "../../src/fuse/fuse.ts";
import { latestFusions } from "../../src/fuse/store.ts";
import { expireFusions, undoStrays } from "../../src/fuse/watchdog.ts";
import type { WorkerPrincipal } from "../../src/auth/principal.ts";
import { hostsByIds } from "../../src/hosts/store.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { admin, enrollInput, holding, lockWaiters, newSite, openPipeline, type Pipeline, rowCount } from "../support/pipeline.ts";

let database: TestDatabase;
let one: Pipeline;
let two: Pipeline;
let forget: () => void;
beforeAll(async () => {
	database = await testDatabase();
	one = await openPipeline(database.url);
	two = await openPipeline(database.url);
	forget = followWorkers();
});
afterAll(async () => {
	forget();
	await one.close();
	await two.close();
	await database.drop();
});

const { tenantId } = admin;

/** A host whose fusion waits for its last command. */
async function atLastStep() {
	const site = await newSite(one.deps);
	const entered = await one.enroller.enroll(enrollInput(site), "192.0.2.1");
	if (entered.kind !== "enrolled") throw new Error(JSON.stringify(entered));
	const { workerId, hostId } = entered;
	const worker: WorkerPrincipal = { kind: "worker", tenantId, workerId, credentialId: "cred_none", name: "w", hostId, siteId: site.siteId };
	await fuseHost(one.deps, admin, { id: hostId });
	const commandId = async () => (await latestFusions(one.deps.db.sql, tenantId, [hostId]))[0]?.commandId ?? "";
	const done = async (from: Pipeline, id: string, answer: object = {}) =>
		reportCommand(from.deps, worker, { commandId: id, state: "SUCCEEDED", result: answer });
	await done(one, await commandId(), { engineId: "E" });
	return { hostId, grant: await commandId(), done };
}

const expire = (hostId: string) => database.db.sql`update fusions set deadline_at = now() - interval '1 s' where host_id = ${hostId}`;

/** Holds the host while both begin, the first before the second, and lets them go. */
async function inThisOrder(hostId: string, first: () => Promise<unknown>, second: () => Promise<unknown>): Promise<void> {
	const held = await holding(database.db, `select id from hosts where id = '${hostId}' for update`);
	const both = [first()];
	await lockWaiters(database.db, 1);
	both.push(second());
	await lockWaiters(database.db, 2);
	await held.release();
	await Promise.all(both);
}

async function endOf(hostId: string): Promise<string> {
	const [host] = await hostsByIds(one.deps.db.sql, tenantId, [hostId]);
	const [fusion] = await latestFusions(one.deps.db.sql, tenantId, [hostId]);
	const revokes = await rowCount(database.db, "commands", `host_id = '${hostId}' and kind = 'fuse.revoke'`);
	const alerts = await rowCount(database.db, "alerts", `host_id = '${hostId}'`);
	return `${host?.state} ${fusion?.step} ${fusion?.outcome ?? "lives"}, ${revokes} revoked, ${alerts} alerts`;
}

test("the last step before the watchdog: FUSED, and the watchdog finds nothing to give up (H11)", async () => {
	const { hostId, grant, done } = await atLastStep();
	await expire(hostId);
	await inThisOrder(
		hostId,
		() => done(one, grant),
		() => expireFusions(two.deps),
	);
	expect(await endOf(hostId)).toBe("FUSED FUSED lives, 0 revoked, 0 alerts");
});

test("the watchdog before the last step: MONITORING, and the grant that comes late is revoked (H11)", async () => {
	const { hostId, grant, done } = await atLastStep();
	await expire(hostId);
	await inThisOrder(
		hostId,
		() => expireFusions(two.deps),
		() => done(one, grant),
	);
	expect(await endOf(hostId)).toBe("MONITORING ENDED FAILED, 1 revoked, 1 alerts");
});

test("two servers that pick up one expired fusion give it up once (H11)", async () => {
	const { hostId } = await atLastStep();
	await expire(hostId);
	let ended = 0;
	const give = (from: Pipeline) => async () => {
		const own = await expireFusions(from.deps);
		ended += own;
	};
	await inThisOrder(hostId, give(one), give(two));
	expect(ended).toBe(1);
	expect(await endOf(hostId)).toBe("MONITORING ENDED FAILED, 1 revoked, 1 alerts");
	expect(await rowCount(database.db, "audit", `subject = '${hostId}' and action = 'host.fuse_failed'`)).toBe(1);
});

test("unfuse before the last step: let off, and the grant that comes late is revoked", async () => {
	const { hostId, grant, done } = await atLastStep();
	await inThisOrder(
		hostId,
		() => unfuseHost(two.deps, admin, hostId),
		() => done(one, grant),
	);
	expect(await endOf(hostId)).toBe("MONITORING ENDED CANCELLED, 1 revoked, 0 alerts");
});

test("the last step before unfuse: fused, and unfused again", async () => {
	const { hostId, grant, done } = await atLastStep();
	await inThisOrder(
		hostId,
		() => done(one, grant),
		() => unfuseHost(two.deps, admin, hostId),
	);
	expect(await endOf(hostId)).toBe("MONITORING ENDED UNFUSED, 1 revoked, 0 alerts");
});

test("two servers that see a swapped engine unfuse once", async () => {
	const { hostId, grant, done } = await atLastStep();
	await done(one, grant);
	await database.db.sql`
		insert into engines (tenant_id, host_id, engine_id, reported_at) values (${tenantId}, ${hostId}, 'OTHER', now())`;
	await inThisOrder(
		hostId,
		() => undoStrays(one.deps),
		() => undoStrays(two.deps),
	);
	expect(await endOf(hostId)).toBe("MONITORING ENDED ENGINE_CHANGED, 1 revoked, 1 alerts");
});

/** As many commands as people may have on a host. */
const fill = (hostId: string) =>
	database.db.sql`
		insert into commands (id, tenant_id, host_id, worker_id, kind, lane, state, params, requested_by, requested_at, deadline_at, follows, output_passed)
		select 'cmd_fill_' || id || n, tenant_id, id, worker_id, 'container.logs', 'free', 'QUEUED', '{}', 'x', now(), now() + interval '1 h', false, 0
		from hosts, generate_series(1, 256) as n where id = ${hostId}`;

test("a host whose queue people have filled is fused, given up and unfused all the same (H11)", async () => {
	const given = await atLastStep();
	await fill(given.hostId);
	await expire(given.hostId);
	expect(await expireFusions(one.deps)).toBe(1);
	expect(await endOf(given.hostId)).toBe("MONITORING ENDED FAILED, 1 revoked, 1 alerts");
	const fused = await atLastStep();
	await fill(fused.hostId);
	await fused.done(one, fused.grant);
	await unfuseHost(one.deps, admin, fused.hostId);
	expect(await endOf(fused.hostId)).toBe("MONITORING ENDED UNFUSED, 1 revoked, 0 alerts");
});

test("a fusion that cannot be given up does not hold back the others' watchdog (H11)", async () => {
	const [broken, other] = [await atLastStep(), await atLastStep()];
	await expire(broken.hostId);
	await expire(other.hostId);
	await database.db.sql`update fusions set deadline_at = deadline_at - interval '1 h' where host_id = ${broken.hostId}`;
	await database.db.sql`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$`;
	await database.db.sql.unsafe(
		`create trigger refuse before update on fusions for each row when (old.host_id = '${broken.hostId}') execute function refuse()`,
	);
	try {
		expect(await expireFusions(one.deps)).toBe(1);
		expect(await endOf(other.hostId)).toBe("MONITORING ENDED FAILED, 1 revoked, 1 alerts");
	} finally {
		await database.db.sql`drop trigger refuse on fusions`;
	}
	expect(await expireFusions(one.deps)).toBe(1);
});
