import { expect, test } from "bun:test";
import { asAdmin } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { auditOf, newHost } from "./commands-support.ts";
import { onPortainer } from "./fuse-portainer-support.ts";
import { fuse, fusionIs, hostIs, hostNow, unfuse, withWorker } from "./fuse-support.ts";
import { metric } from "./support.ts";

onPortainer("fusing by Portainer", (bench) => {
	test("a host is FUSED after its environment was made, its agent rolled out and checked in, and its engine answered through the proxy (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			const { params, host: now } = await bench.fused(host, orders);
			expect(params).toMatchObject({ image: "portainer/agent:2.33.5", insecurePoll: false });
			expect(now.fuseProvider).toBe("PORTAINER");
			const { environmentId, engineId } = now.fusion;
			expect(engineId).toBe(bench.portainer.engine.id);
			expect(bench.portainer.environments.get(environmentId)).toMatchObject({ EdgeID: params.edgeId, EdgeKey: params.edgeKey });
			expect(orders.kinds()).toEqual(["agent.deploy"]);
			await bench.unfused(host, orders);
			expect(bench.portainer.environments.has(environmentId)).toBe(false);
		});
	});

	test("the join key is nowhere to be read: not in the audit log, the command, the database or the server's log", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			const { params } = await bench.fused(host, orders);
			const dump = await bench.database.db.sql.unsafe(
				"select string_agg(to_jsonb(c)::text, '') as text from (select to_jsonb(x) from commands x union all select to_jsonb(x) from audit x union all select to_jsonb(x) from events x union all select to_jsonb(x) from fusions x) c",
			);
			const seen = `${dump[0]?.["text"]} ${bench.server.stderr()} ${(await auditOf(bench, host.hostId)).join()}`;
			expect(seen).toContain(host.hostId);
			expect(seen).not.toContain(params.edgeKey);
			expect(seen).not.toContain(bench.portainer.apiKey);
			await bench.unfused(host, orders);
		});
	});

	test("a server that hands out Edge ids has its own used", async () => {
		bench.portainer.enforceEdgeId = `enforced-${hex(4)}`;
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			const { params } = await bench.fused(host, orders);
			expect(params.edgeId).toBe(String(bench.portainer.enforceEdgeId));
			bench.portainer.enforceEdgeId = undefined;
			await bench.unfused(host, orders);
		});
	});

	test("a check-in alone does not fuse: without a tunnel the watchdog takes it all back, the agent before its environment (H11)", async () => {
		const host = await newHost(bench);
		const before = await metric(bench.server, 'muster_fuse_failed_total{source="watchdog_timeout"}');
		bench.portainer.tunnels = false;
		await withWorker(bench.server, host, async (orders) => {
			await fuse(bench.server, host.hostId, "PORTAINER");
			const { agent } = await bench.deploy(orders);
			const { environmentId } = await fusionIs(bench.server, host.hostId, "CONNECT");
			await until("the first try was in vain", async () =>
				(await hostNow(bench.server, host.hostId)).fusion.lastError?.includes("active tunnel"),
			);
			await bench.expire(host.hostId);
			const { fusion } = await hostIs(bench.server, host.hostId, "MONITORING");
			expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "watchdog_timeout", step: "REMOVE_AGENT" });
			expect(fusion.failureMessage).toContain("Unable to get the active tunnel");
			expect(bench.portainer.environments.has(environmentId)).toBe(true);
			await bench.undone(host, orders);
			expect(bench.portainer.environments.has(environmentId)).toBe(false);
			await until("the agent is turned away", () => agent.lastStatus() === 403);
		});
		bench.portainer.tunnels = true;
		expect(await metric(bench.server, 'muster_fuse_failed_total{source="watchdog_timeout"}')).toBe(before + 1);
	});

	test("an agent that never checks in is given up at the deadline, though Portainer calls its environment up from the beginning (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await fuse(bench.server, host.hostId, "PORTAINER");
			await orders.does("agent.deploy", { containerId: "agent" });
			await until("it waits for the check-in", async () =>
				(await hostNow(bench.server, host.hostId)).fusion.lastError?.includes("not checked in"),
			);
			await bench.expire(host.hostId);
			await hostIs(bench.server, host.hostId, "MONITORING");
			await bench.undone(host, orders);
		});
		expect([...bench.portainer.environments.values()].filter(({ Name }) => Name.includes(host.hostId))).toEqual([]);
	});

	test.each([
		[400, "cannot use localhost as environment URL"],
		[401, "Invalid API key"],
		[403, "Permission denied"],
		[409, "Name is not unique"],
	])("Portainer's refusal %i of the environment fails the fusion at once, in its own words (H11)", async (status, words) => {
		const host = await newHost(bench);
		const before = await metric(bench.server, 'muster_fuse_failed_total{source="portainer_error"}');
		bench.portainer.failNext(/^POST \/api\/endpoints$/, status, words);
		await fuse(bench.server, host.hostId, "PORTAINER");
		const { fusion } = await hostIs(bench.server, host.hostId, "MONITORING");
		expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "portainer_error" });
		expect(fusion.failureMessage).toContain(`Portainer answered ${status}`);
		expect(fusion.failureMessage).toContain(words);
		await fusionIs(bench.server, host.hostId, "ENDED");
		expect(await metric(bench.server, 'muster_fuse_failed_total{source="portainer_error"}')).toBe(before + 1);
		expect(await rowCount(bench.database.db, "alerts", `host_id = '${host.hostId}' and kind = 'FUSE_FAILED'`)).toBe(1);
	});

	test("a Portainer that is away or at fault is asked again; an environment that was made without an answer is taken, not made twice", async () => {
		const host = await newHost(bench);
		bench.portainer.failNext(/^GET \/api\/system\/status$/, 503, "starting");
		const release = bench.portainer.holdNext(/^POST \/api\/endpoints$/);
		await withWorker(bench.server, host, async (orders) => {
			await fuse(bench.server, host.hostId, "PORTAINER");
			await until("the environment is made", () => bench.portainer.environments.size > 0);
			// The server that asked is taken for dead: another one asks again, and the name is in use.
			await bench.database.db.sql`update fusions set lease_until = now() where host_id = ${host.hostId}`;
			const { params } = await bench.deploy(orders);
			const now = await hostIs(bench.server, host.hostId, "FUSED");
			release();
			expect([...bench.portainer.environments.values()].map(({ EdgeKey }) => EdgeKey)).toEqual([params.edgeKey]);
			await bench.unfused(host, orders);
			expect(bench.portainer.environments.has(now.fusion.environmentId)).toBe(false);
		});
	});

	test("an environment that is made after its fusion was given up does not stay behind", async () => {
		const host = await newHost(bench);
		const release = bench.portainer.holdNext(/^POST \/api\/endpoints$/);
		await fuse(bench.server, host.hostId, "PORTAINER");
		await until("the environment is made", () => bench.portainer.environments.size > 0);
		await unfuse(bench.server, host.hostId);
		release();
		await fusionIs(bench.server, host.hostId, "ENDED");
		expect(bench.portainer.environments.size).toBe(0);
	});

	test("undoing goes on until Portainer lets the environment go, and is content when it is gone already", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			bench.portainer.failNext(/^DELETE /, 500, "database is locked");
			bench.portainer.failNext(/^DELETE /, 404, "Unable to find an environment");
			await bench.unfused(host, orders);
			// Only the fake's word was that it is gone.
			for (const { Id } of bench.portainer.environments.values())
				await fetch(`${bench.portainer.url}/api/endpoints/${Id}`, { method: "DELETE", headers: { "x-api-key": bench.portainer.apiKey } });
		});
		expect(bench.portainer.asked.filter((call) => call.startsWith("DELETE ")).length).toBeGreaterThanOrEqual(2);
	});

	test("an agent that cannot be rolled out, or not removed, leaves no environment behind (H11)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await fuse(bench.server, host.hostId, "PORTAINER");
			await orders.fails("agent.deploy", "docker_error", "pull access denied for portainer/agent");
			const { fusion } = await hostIs(bench.server, host.hostId, "MONITORING");
			expect(fusion).toMatchObject({ failureSource: "docker_error" });
			expect(fusion.failureMessage).toContain("pull access denied");
			await orders.fails("agent.remove", "docker_unavailable", "Docker is stopped");
			await fusionIs(bench.server, host.hostId, "ENDED");
			expect(bench.portainer.environments.size).toBe(0);
		});
	});

	test("an agent at another engine than the worker's is no proof of this host (H11)", async () => {
		const host = await newHost(bench);
		await bench.database.db.sql`
			insert into engines (tenant_id, host_id, engine_id, reported_at) select tenant_id, id, 'ELSEWHERE', now() from hosts where id = ${host.hostId}`;
		await withWorker(bench.server, host, async (orders) => {
			await fuse(bench.server, host.hostId, "PORTAINER");
			await bench.deploy(orders);
			expect((await hostIs(bench.server, host.hostId, "MONITORING")).fusion.failureMessage).toContain("ELSEWHERE");
			await bench.undone(host, orders);
		});
	});

	test("deleting a fused host deletes its environment", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			const { host: now } = await bench.fused(host, orders);
			await asAdmin(bench.server, "mutation ($id: ID!) { deleteHost(id: $id) { deletedId } }", { id: host.hostId });
			await until("the environment is gone", () => !bench.portainer.environments.has(now.fusion.environmentId));
		});
	});
});
