import { describe, expect, test } from "bun:test";
import { runtimeNames } from "../support/runtimes.ts";
import { testDatabase } from "../support/db.ts";
import { startMuster } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { act, auditOf, becomes, commandOf, newHost } from "./commands-support.ts";
import { fuse, fuseByDocker, fusionIs, hostIs, hostNow, proof, refusal, unfuse, withWorker } from "./fuse-support.ts";
import { metric, onEachRuntime } from "./support.ts";

onEachRuntime(
	"fusing by Docker",
	(bench) => {
		const alerts = (hostId: string, kind: string) => rowCount(bench.database.db, "alerts", `host_id = '${hostId}' and kind = '${kind}'`);
		const expire = (hostId: string) =>
			bench.database.db.sql`update fusions set deadline_at = now() - interval '1 s' where host_id = ${hostId}`;
		const actions = async (hostId: string) => (await auditOf(bench, hostId)).map((line) => JSON.parse(line).action);

		test("a host is FUSED only after its worker proved an engine and took the grant, and that engine is pinned (H11, S7)", async () => {
			const host = await newHost(bench);
			const before = await metric(bench.server, 'muster_fuse_total{provider="DOCKER",outcome="fused"}');
			await withWorker(bench.server, host, async (orders) => {
				const begun = await fuse(bench.server, host.hostId);
				expect(begun).toMatchObject({ state: "FUSING", fuseProvider: "DOCKER", fusion: { step: "PROVE", engineId: null, outcome: null } });
				const challenge = (await orders.does("fuse.prove", proof("ENGINE-7"))).params as { challenge: string };
				expect(challenge.challenge).toMatch(/^[0-9a-f]{32}$/);
				const grant = await orders.next("fuse.grant");
				expect(grant.params).toEqual({ provider: "DOCKER", engineId: "ENGINE-7" });
				expect((await hostNow(bench.server, host.hostId)).state).toBe("FUSING");
				await orders.worker.report(grant.commandId, "SUCCEEDED", { result: { engineId: "ENGINE-7" } });
			});
			const fused = await hostIs(bench.server, host.hostId, "FUSED");
			expect(fused.fusion).toMatchObject({ step: "FUSED", engineId: "ENGINE-7", outcome: null });
			expect(Date.parse(fused.fusion.fusedAt)).toBeGreaterThanOrEqual(Date.parse(fused.fusion.startedAt));
			expect((await actions(host.hostId)).filter((action) => action.startsWith("host.fus"))).toEqual(["host.fusing", "host.fused"]);
			expect(await metric(bench.server, 'muster_fuse_total{provider="DOCKER",outcome="fused"}')).toBe(before + 1);
		});

		test("no container is changed before the host is FUSED, and none after it is unfused (H12)", async () => {
			const host = await newHost(bench);
			const create = () => act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny" });
			await withWorker(bench.server, host, async (orders) => {
				expect(await refusal(create())).toContain("fuse it first");
				await fuse(bench.server, host.hostId);
				expect(await refusal(create())).toContain("FUSING");
				await orders.does("fuse.prove", proof("ENGINE-1"));
				await orders.does("fuse.grant", {});
				await hostIs(bench.server, host.hostId, "FUSED");
				const command = await create();
				await orders.does("container.create", { containerId: "c1" });
				await becomes(bench.server, command.id, "SUCCEEDED");
				await unfuse(bench.server, host.hostId);
				expect(await refusal(create())).toContain("fuse it first");
				await orders.does("fuse.revoke");
			});
		});

		test("a worker that cannot prove its engine leaves the host MONITORING, with its own words, an alert and docker_error counted (H11)", async () => {
			const host = await newHost(bench);
			const before = await metric(bench.server, 'muster_fuse_failed_total{source="docker_error"}');
			await withWorker(bench.server, host, async (orders) => {
				await fuse(bench.server, host.hostId);
				await orders.fails("fuse.prove", "docker_unavailable", "Cannot use Docker: there is no socket");
				const { fusion, fuseProvider } = await hostIs(bench.server, host.hostId, "MONITORING");
				expect(fuseProvider).toBeNull();
				expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "docker_error", step: "ENDED" });
				expect(fusion.failureMessage).toContain("Cannot use Docker: there is no socket");
				await orders.does("fuse.revoke");
				// And it can be tried again.
				await fuseByDocker(bench.server, host, orders);
			});
			expect(await alerts(host.hostId, "FUSE_FAILED")).toBe(1);
			expect(await metric(bench.server, 'muster_fuse_failed_total{source="docker_error"}')).toBe(before + 1);
		});

		test("a worker that refuses the grant, as its engine is another by then, leaves the host MONITORING (H11)", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, async (orders) => {
				await fuse(bench.server, host.hostId);
				await orders.does("fuse.prove", proof("ENGINE-1"));
				await orders.fails("fuse.grant", "not_fused", "this host's engine is another");
				await hostIs(bench.server, host.hostId, "MONITORING");
				await orders.does("fuse.revoke");
			});
		});

		test("a proof that names no engine pins none (H11)", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, async (orders) => {
				await fuse(bench.server, host.hostId);
				await orders.does("fuse.prove", { engineId: "" });
				expect((await hostIs(bench.server, host.hostId, "MONITORING")).fusion.failureMessage).toContain("names no engine");
			});
		});

		test("at the deadline a host is MONITORING again, what waits is cancelled, and a worker that comes late changes nothing (H11)", async () => {
			const host = await newHost(bench);
			const before = await metric(bench.server, 'muster_fuse_failed_total{source="watchdog_timeout"}');
			await withWorker(bench.server, host, async (orders) => {
				await fuse(bench.server, host.hostId);
				await orders.does("fuse.prove", proof("ENGINE-1"));
				const grant = await orders.next("fuse.grant");
				await expire(host.hostId);
				const { fusion } = await hostIs(bench.server, host.hostId, "MONITORING");
				expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "watchdog_timeout" });
				expect(fusion.failureMessage).toContain("GRANT");
				await orders.worker.told("CANCEL", grant.commandId);
				// The grant was taken all the same: the revocation comes behind it.
				await orders.worker.report(grant.commandId, "SUCCEEDED", { result: {} });
				await orders.does("fuse.revoke");
				expect((await hostNow(bench.server, host.hostId)).state).toBe("MONITORING");
			});
			expect(await metric(bench.server, 'muster_fuse_failed_total{source="watchdog_timeout"}')).toBe(before + 1);
			expect(await alerts(host.hostId, "FUSE_FAILED")).toBe(1);
			expect(await actions(host.hostId)).toContain("host.fuse_failed");
		});

		test.each([
			["PENDING", "install its worker first"],
			["FUSING", "unfuseHost"],
			["FUSED", "unfuse it first"],
			["DEGRADED", "wait until its worker is heard again"],
		])("a host that is %s cannot be fused, and the error says what to do: %s", async (state, remedy) => {
			const host = await newHost(bench);
			const known = state === "DEGRADED" ? "MONITORING" : state;
			await bench.database.db.sql`update hosts set state = ${state}, last_known_state = ${known} where id = ${host.hostId}`;
			const error = await refusal(fuse(bench.server, host.hostId));
			expect(error).toContain("CONFLICT");
			expect(error).toContain(remedy);
		});

		test("without a Portainer, fusing by it is an error that names the variables (H11)", async () => {
			const host = await newHost(bench);
			const error = await refusal(fuse(bench.server, host.hostId, "PORTAINER"));
			expect(error).toContain("MUSTER_PORTAINER_URL");
			expect(error).toContain("MUSTER_PORTAINER_API_KEY");
			expect((await hostNow(bench.server, host.hostId)).state).toBe("MONITORING");
		});

		test("an engine that was swapped for another unfuses the host, with a critical alert, and no change reaches it (H11, S7)", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, async (orders) => {
				await fuseByDocker(bench.server, host, orders, "ENGINE-1");
				const first = await act(bench.server, "startContainer", { hostId: host.hostId, container: "a" });
				await orders.next("container.start");
				const second = await act(bench.server, "startContainer", { hostId: host.hostId, container: "b" });
				await bench.database.db.sql`
				insert into engines (tenant_id, host_id, engine_id, reported_at) select tenant_id, id, 'ENGINE-2', now() from hosts where id = ${host.hostId}`;
				const { fusion } = await hostIs(bench.server, host.hostId, "MONITORING");
				expect(fusion).toMatchObject({ outcome: "ENGINE_CHANGED", engineId: "ENGINE-1" });
				await becomes(bench.server, second.id, "CANCELLED");
				await orders.worker.told("CANCEL", first.id);
				await orders.worker.report(first.id, "CANCELLED");
				await orders.does("fuse.revoke");
				expect(orders.worker.frames.map(({ commandId }) => commandId)).not.toContain(second.id);
			});
			expect(
				await rowCount(bench.database.db, "alerts", `host_id = '${host.hostId}' and kind = 'ENGINE_CHANGED' and severity = 'critical'`),
			).toBe(1);
			expect(await actions(host.hostId)).toContain("host.unfused");
		});

		test("a host whose engine is away for a while stays FUSED: only another engine unfuses it (H11)", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, (orders) => fuseByDocker(bench.server, host, orders, "ENGINE-1"));
			await bench.database.db.sql`
			insert into engines (tenant_id, host_id, engine_id, reason, reported_at)
			select tenant_id, id, null, 'Docker is stopped', now() from hosts where id = ${host.hostId}`;
			// Another host's swap shows that the watchdog has looked since.
			const other = await newHost(bench);
			await withWorker(bench.server, other, (orders) => fuseByDocker(bench.server, other, orders, "ENGINE-1"));
			await bench.database.db.sql`
			insert into engines (tenant_id, host_id, engine_id, reported_at) select tenant_id, id, 'ENGINE-2', now() from hosts where id = ${other.hostId}`;
			await hostIs(bench.server, other.hostId, "MONITORING");
			expect((await hostNow(bench.server, host.hostId)).state).toBe("FUSED");
		});

		test("unfusing a DEGRADED host cancels what waits for it, and its worker gives the grant back when it returns (H13)", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, (orders) => fuseByDocker(bench.server, host, orders));
			await bench.database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
			const waiting = await act(bench.server, "startContainer", { hostId: host.hostId, container: "a" });
			expect(await unfuse(bench.server, host.hostId)).toMatchObject({
				state: "DEGRADED",
				lastKnownState: "MONITORING",
				fusion: { outcome: "UNFUSED" },
			});
			expect((await commandOf(bench.server, waiting.id)).state).toBe("CANCELLED");
			await withWorker(bench.server, host, async (orders) => {
				await orders.does("fuse.revoke");
				expect(orders.kinds()).toEqual(["fuse.revoke"]);
			});
		});

		test("unfusing ends a fusion that is under way, and a host that is not fused has nothing to undo", async () => {
			const host = await newHost(bench);
			expect(await refusal(unfuse(bench.server, host.hostId))).toContain("nothing to do");
			await withWorker(bench.server, host, async (orders) => {
				await fuse(bench.server, host.hostId);
				const prove = await orders.next("fuse.prove");
				expect(await unfuse(bench.server, host.hostId)).toMatchObject({
					state: "MONITORING",
					fusion: { outcome: "CANCELLED", step: "ENDED" },
				});
				await orders.worker.told("CANCEL", prove.commandId);
				await orders.worker.report(prove.commandId, "SUCCEEDED", { result: proof("ENGINE-1") });
				await orders.does("fuse.revoke");
				expect(orders.kinds()).not.toContain("fuse.grant");
			});
			expect(await alerts(host.hostId, "FUSE_FAILED")).toBe(0);
		});

		test("two who fuse at once: one does, the other is told; fuse and unfuse at once leave nothing half done", async () => {
			const host = await newHost(bench);
			const both = await Promise.allSettled([fuse(bench.server, host.hostId), fuse(bench.server, host.hostId)]);
			expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
			await Promise.allSettled([unfuse(bench.server, host.hostId), fuse(bench.server, host.hostId), unfuse(bench.server, host.hostId)]);
			const { state, fusion } = await hostNow(bench.server, host.hostId);
			expect([`${state} ${fusion.outcome}`]).toContainAnyValues(["MONITORING CANCELLED", "FUSING null"]);
			expect(await rowCount(bench.database.db, "fusions", `host_id = '${host.hostId}' and outcome is null`)).toBe(
				state === "FUSING" ? 1 : 0,
			);
		});

		test("deleting a fused host ends its fusion, and nothing is left that lives", async () => {
			const host = await newHost(bench);
			await withWorker(bench.server, host, (orders) => fuseByDocker(bench.server, host, orders));
			const { asAdmin } = await import("../support/muster.ts");
			await asAdmin(bench.server, "mutation ($id: ID!) { deleteHost(id: $id) { deletedId } }", { id: host.hostId });
			await until(
				"the fusion has ended",
				async () =>
					(await rowCount(bench.database.db, "fusions", `host_id = '${host.hostId}' and outcome = 'HOST_GONE' and step = 'ENDED'`)) === 1,
			);
		});
	},
	{ MUSTER_STALE_SECONDS: "86400" },
);

describe.each(runtimeNames)("the watchdog on %s", (runtime) => {
	test("a fusion whose server died is given up by the one that comes after it (H11)", async () => {
		await using database = await testDatabase().then((it) => ({ ...it, [Symbol.asyncDispose]: () => it.drop() }));
		const env = { MUSTER_FUSE_DEADLINE_SECONDS: "3" };
		const first = await startMuster({ runtime, databaseUrl: database.url, env });
		const host = await newHost({ server: first, database });
		await fuse(first, host.hostId);
		first.kill("SIGKILL");
		await first.stop();
		const second = await startMuster({ runtime, databaseUrl: database.url, env });
		try {
			const { fusion } = await hostIs(second, host.hostId, "MONITORING");
			expect(fusion).toMatchObject({ outcome: "FAILED", failureSource: "watchdog_timeout" });
			await fusionIs(second, host.hostId, "ENDED");
		} finally {
			await second.stop();
		}
	});
});
