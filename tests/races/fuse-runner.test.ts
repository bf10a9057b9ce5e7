/** A server that cannot keep its turn at a command: it stops before another one may have taken it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { enqueueCommand } from "../../src/commands/commands.ts";
import { openCommandHub } from "../../src/commands/hub.ts";
import type { Deps } from "../../src/deps.ts";
import { portainerClient } from "../../src/fuse/portainer-client.ts";
import { openFuseRunner } from "../../src/fuse/runner.ts";
import { Secret } from "../../src/lib/secret.ts";
import { fakeAgent, type FakePortainer, fakePortainer } from "../support/fakes/portainer.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { admin, enrollInput, holding, lockWaiters, newSite, openPipeline, type Pipeline } from "../support/pipeline.ts";
import { until } from "../support/until.ts";

let database: TestDatabase;
let one: Pipeline;
let portainer: FakePortainer;
beforeAll(async () => {
	database = await testDatabase();
	one = await openPipeline(database.url);
	portainer = await fakePortainer();
});
afterAll(async () => {
	await portainer.close();
	await one.close();
	await database.drop();
});

const { tenantId } = admin;

test("a server whose lease could not be renewed cuts its work off, and whoever is next ends it: nothing is made twice (H12)", async () => {
	const place = {
		url: portainer.url,
		edgeUrl: portainer.url,
		apiKey: new Secret(portainer.apiKey),
		agentImage: undefined,
		insecureTls: false,
	};
	const environment = await portainerClient(place).register("env", new AbortController().signal);
	const agent = fakeAgent({ edgeKey: environment.EdgeKey, edgeId: "edge" });
	const site = await newSite(one.deps);
	const entered = await one.enroller.enroll(enrollInput(site), "192.0.2.1");
	if (entered.kind !== "enrolled") throw new Error(JSON.stringify(entered));
	const { workerId, hostId } = entered;
	const { sql } = database.db;
	await sql`update hosts set state = 'FUSED', last_known_state = 'FUSED', fuse_provider = 'PORTAINER' where id = ${hostId}`;
	await sql`
		insert into fusions (id, tenant_id, host_id, worker_id, provider, step, challenge, environment_id, engine_id, requested_by, started_at,
			deadline_at, fused_at, attempts)
		values ('fusion_of_the_test', ${tenantId}, ${hostId}, ${workerId}, 'PORTAINER', 'FUSED', 'edge', ${environment.Id}, ${portainer.engine.id}, 'x', now(),
			now(), now(), 0)`;
	let ahead = 0;
	const clock = { now: () => one.deps.clock.now(), monotonic: () => one.deps.clock.monotonic() + ahead };
	const deps: Deps = { ...one.deps, clock, settings: { ...one.deps.settings, portainer: place } };
	const hub = await openCommandHub(deps);
	const runner = openFuseRunner(deps, hub);
	try {
		portainer.engine.silenceNext(/^POST \/containers\/create$/);
		const params = { name: null, image: "tiny", spec: {}, start: true };
		const { id } = await deps.db.tx((tx) =>
			enqueueCommand(deps, tx, { tenantId, hostId, workerId, kind: "container.create", params, deadlineAt: null, actor: "x" }),
		);
		await until("the container is made", () => portainer.engine.containers.length === 1);
		const lock = await holding(database.db, `select runs from command_runs where command_id = '${id}' for update`);
		await lockWaiters(database.db, 1);
		ahead = 30_000;
		await until("the work is cut off", () => one.logged.some((line) => line.startsWith("fuse.turn_not_kept")));
		await lock.release();
		await until(
			"the next turn ends it",
			async () => (await sql`select state from commands where id = ${id}`)[0]?.["state"] === "SUCCEEDED",
		);
		expect(portainer.engine.containers).toMatchObject([{ state: "running" }]);
	} finally {
		await runner.close();
		await hub.close();
		await agent.stop();
	}
});
