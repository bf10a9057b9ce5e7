import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { asAdmin } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import { act, auditOf, becomes, cancel, commandOf, newHost, refused } from "./commands-support.ts";
import { type Bench, metric, onEachRuntime } from "./support.ts";

// For hangs only.
setDefaultTimeout(60_000);

onEachRuntime(
	"commands",
	(bench: Bench) => {
		const { inspect, start } = {
			inspect: (hostId: string, container = "web") => act(bench.server, "inspectContainer", { hostId, container }),
			start: (hostId: string, container = "web") => act(bench.server, "startContainer", { hostId, container }),
		};

		test("a command reaches the worker that is connected, and its result the one who asked (H9, H10)", async () => {
			const host = await newHost(bench);
			const worker = await scriptedWorker(bench.server, host);
			const { id, state, requestedBy } = await inspect(host.hostId);
			expect({ state, requestedBy }).toEqual({ state: "QUEUED", requestedBy: expect.stringContaining("operator:") });
			const order = await worker.told("ORDER", id);
			expect(order).toMatchObject({ kind: "container.inspect", params: { container: "web" }, deadline: expect.any(String) });
			expect(await worker.report(id, "RUNNING")).toBe("RUNNING");
			expect((await commandOf(bench.server, id)).startedAt).toEqual(expect.any(String));
			expect(await worker.report(id, "SUCCEEDED", { result: { Id: "abc", nul: "a\0b\ud800", Config: { Env: ["PW=hunter2"] } } })).toBe(
				"SUCCEEDED",
			);
			const found = { Id: "abc", nul: "a\ufffdb\ufffd", Config: { Env: ["PW=[secret]"] } };
			expect(await commandOf(bench.server, id)).toMatchObject({ state: "SUCCEEDED", result: found });
			await worker.close();
		});

		test("the first end stands; what is reported later is answered with it (H12)", async () => {
			const host = await newHost(bench);
			const worker = await scriptedWorker(bench.server, host);
			const { id } = await inspect(host.hostId);
			await worker.told("ORDER", id);
			expect(await worker.report(id, "FAILED", { error: { code: "not_found", message: "no such container" } })).toBe("FAILED");
			expect(await worker.report(id, "SUCCEEDED", { result: 1 })).toBe("FAILED");
			expect(await worker.report(id, "RUNNING")).toBe("FAILED");
			expect(await commandOf(bench.server, id)).toMatchObject({ errorCode: "not_found", errorMessage: "no such container", result: null });
			expect((await auditOf(bench, id)).length).toBe(1);
			await worker.close();
		});

		test("changes run one after the other in the order they were asked, reads beside them (H12)", async () => {
			const host = await newHost(bench, "FUSED");
			const worker = await scriptedWorker(bench.server, host);
			const [first, second] = [await start(host.hostId, "a"), await start(host.hostId, "b")];
			const read = await inspect(host.hostId);
			await worker.told("ORDER", first.id);
			await worker.told("ORDER", read.id);
			await worker.report(first.id, "RUNNING");
			expect(worker.frames.map(({ commandId }) => commandId)).not.toContain(second.id);
			await worker.report(first.id, "FAILED", { error: { code: "docker_error", message: "x" } });
			await worker.told("ORDER", second.id);
			await worker.close();
		});

		test("a host's free lane is bounded: the eleventh read waits for one to end", async () => {
			const host = await newHost(bench);
			const worker = await scriptedWorker(bench.server, host);
			const all = [];
			for (let index = 0; index < 11; index++) all.push(await inspect(host.hostId, `c${index}`));
			await until("ten are given", () => worker.frames.length === 10);
			const [one, last] = [all[3], all[10]];
			expect(worker.frames.map(({ commandId }) => commandId)).not.toContain(last.id);
			await worker.report(one.id, "SUCCEEDED");
			await worker.told("ORDER", last.id);
			await worker.close();
		});

		test("ten followed logs hold back no read; the eleventh is refused and told why, until one is to end (H10)", async () => {
			const host = await newHost(bench);
			const worker = await scriptedWorker(bench.server, host);
			const follow = { hostId: host.hostId, container: "web", follow: true };
			const followed = [];
			for (let index = 0; index < 10; index++) followed.push(await act(bench.server, "containerLogs", follow));
			for (const { id } of followed) {
				await worker.told("ORDER", id);
				await worker.report(id, "RUNNING");
			}
			const reads = [await inspect(host.hostId), await act(bench.server, "containerLogs", { ...follow, follow: false })];
			for (const { id } of reads) await worker.told("ORDER", id);
			expect(await refused(bench.server, "containerLogs", follow)).toMatch(/10 logs and programs of host.*are followed.*CONFLICT/);
			const typed = { hostId: host.hostId, container: "web", command: ["sh"], stdin: true };
			expect(await refused(bench.server, "execContainer", typed)).toContain("cancelCommand");
			await cancel(bench.server, followed[4].id);
			const one = await act(bench.server, "containerLogs", follow);
			expect(worker.frames.map(({ commandId }) => commandId)).not.toContain(one.id);
			await worker.report(followed[4].id, "CANCELLED");
			await worker.told("ORDER", one.id);
			await worker.close();
		});

		test("sealed parameters that do not open end their command with the reason, and the next one goes on (A2)", async () => {
			const host = await newHost(bench, "FUSED");
			const { sql } = bench.database.db;
			const create = (name: string) =>
				act(bench.server, "createContainer", { hostId: host.hostId, name, image: "tiny", env: [{ key: "PASSWORD", value: "hunter2" }] });
			const [first, second] = [await create("a"), await create("b")];
			const spoil = (id: string) =>
				sql`update commands set params_sealed = 'v1.0badc0de.AAAA' where id = ${id} and params_sealed is not null returning id`;
			expect(await spoil(first.id)).toHaveLength(1);
			const worker = await scriptedWorker(bench.server, host);
			await worker.told("ORDER", second.id);
			expect(worker.frames.map(({ commandId }) => commandId)).toEqual([second.id]);
			const { state, errorCode, errorMessage } = await commandOf(bench.server, first.id);
			expect({ state, errorCode }).toEqual({ state: "FAILED", errorCode: "internal" });
			expect(errorMessage).toMatch(/It was not begun.*master key 0badc0de.*MUSTER_MASTER_KEY_FORMER/);
			await worker.close();
			// One that was given out before may have been done.
			const third = await create("c");
			expect(await spoil(second.id)).toHaveLength(1);
			const back = await scriptedWorker(bench.server, host);
			await back.told("ORDER", third.id);
			expect(await commandOf(bench.server, second.id)).toMatchObject({ state: "FAILED", errorCode: "interrupted" });
			await back.close();
		});

		test("a change on a host that is not fused is refused with its state and the remedy; nothing is queued (H12)", async () => {
			const host = await newHost(bench);
			const message = await refused(bench.server, "startContainer", { hostId: host.hostId, container: "web" });
			expect(message).toContain("CONFLICT");
			expect(message).toContain("MONITORING");
			expect(message).toContain("fuseHost");
			expect(await rowCount(bench.database.db, "commands", `host_id = '${host.hostId}'`)).toBe(0);
		});

		test("a change that waits while its host is unfused is not handed out any more: it FAILED as not_fused (H12)", async () => {
			const host = await newHost(bench, "FUSED");
			const { id } = await start(host.hostId);
			await bench.database.db.sql`update hosts set state = 'MONITORING', last_known_state = 'MONITORING' where id = ${host.hostId}`;
			const worker = await scriptedWorker(bench.server, host);
			expect(await becomes(bench.server, id, "FAILED")).toMatchObject({
				errorCode: "not_fused",
				errorMessage: expect.stringContaining("MONITORING"),
			});
			expect(worker.frames).toEqual([]);
			await worker.close();
		});

		test("while DEGRADED changes queue, and run in their order on return (H13)", async () => {
			const host = await newHost(bench, "FUSED");
			await bench.database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
			const ids: string[] = [];
			for (const name of ["a", "b", "c"]) ids.push((await start(host.hostId, name)).id);
			const worker = await scriptedWorker(bench.server, host);
			for (const id of ids) {
				await worker.told("ORDER", id);
				await worker.report(id, "SUCCEEDED");
			}
			expect(worker.frames.map(({ commandId }) => commandId)).toEqual(ids);
			await worker.close();
		});

		test("past its deadline a command that waits becomes EXPIRED, with its audit line, and is never handed out (H13)", async () => {
			const host = await newHost(bench, "FUSED");
			const { id } = await act(bench.server, "startContainer", { hostId: host.hostId, container: "web", deadlineSeconds: 1 });
			await becomes(bench.server, id, "EXPIRED");
			expect((await auditOf(bench, id)).join()).toContain("command.expired");
			const worker = await scriptedWorker(bench.server, host);
			const next = await start(host.hostId);
			await worker.told("ORDER", next.id);
			expect(worker.frames.map(({ commandId }) => commandId)).toEqual([next.id]);
			expect(await metric(bench.server, 'muster_commands_ended_total{kind="container.start",state="EXPIRED"}')).toBeGreaterThan(0);
			await worker.close();
		});

		describe("cancelling", () => {
			test("a command that no worker has ends at once", async () => {
				const host = await newHost(bench);
				const { id } = await inspect(host.hostId);
				expect(await cancel(bench.server, id)).toMatchObject({ state: "CANCELLED" });
				expect(await cancel(bench.server, id)).toMatchObject({ state: "CANCELLED" });
			});

			test("a worker that has it is told once, and its end stands, whatever it is", async () => {
				const host = await newHost(bench);
				const worker = await scriptedWorker(bench.server, host);
				const { id } = await inspect(host.hostId);
				await worker.told("ORDER", id);
				expect(await cancel(bench.server, id)).toMatchObject({ state: "QUEUED" });
				await worker.told("CANCEL", id);
				expect(await worker.report(id, "CANCELLED")).toBe("CANCELLED");
				expect(await cancel(bench.server, id)).toMatchObject({ state: "CANCELLED" });
				await worker.close();
			});
		});

		test("all that has not ended comes again on a new connection, in order, and a cancel before its order: what was lost on the way is not begun any more (H9)", async () => {
			const host = await newHost(bench, "FUSED");
			const worker = await scriptedWorker(bench.server, host);
			const [change, read] = [await start(host.hostId), await inspect(host.hostId)];
			await worker.told("ORDER", change.id);
			await worker.told("ORDER", read.id);
			await worker.report(change.id, "RUNNING");
			await worker.close();
			await cancel(bench.server, read.id);
			const again = await scriptedWorker(bench.server, host);
			await again.told("ORDER", read.id);
			await until("the cancel after the order", () => again.frames.at(-1)?.type === "CANCEL");
			expect(again.frames.map(({ type, commandId }) => [type, commandId])).toEqual([
				["ORDER", change.id],
				["CANCEL", read.id],
				["ORDER", read.id],
				["CANCEL", read.id],
			]);
			await again.close();
		});

		test.each(["deleteHost", "revokeWorker"])("%s: its commands are cancelled", async (mutation) => {
			const host = await newHost(bench);
			const { id } = await inspect(host.hostId);
			const [named, select] = mutation === "deleteHost" ? [host.hostId, "deletedId"] : [host.workerId, "worker { id }"];
			await asAdmin(bench.server, `mutation ($id: ID!) { ${mutation}(id: $id) { ${select} } }`, { id: named });
			expect(await becomes(bench.server, id, "CANCELLED")).toMatchObject({ errorMessage: expect.stringContaining("revoked") });
		});

		test("a worker is told nothing of another's commands, and cannot report on them", async () => {
			const [mine, theirs] = [await newHost(bench), await newHost(bench)];
			const worker = await scriptedWorker(bench.server, theirs);
			const { id } = await inspect(mine.hostId);
			expect(await worker.report(id, "SUCCEEDED").catch(String)).toContain("NOT_FOUND");
			expect(await worker.output(id, 0, "x")).toBe(false);
			expect((await commandOf(bench.server, id)).state).toBe("QUEUED");
			expect(worker.frames).toEqual([]);
			await worker.close();
		});

		test("a result that is too large is refused with the limit, and the command goes on", async () => {
			const host = await newHost(bench);
			const worker = await scriptedWorker(bench.server, host);
			const { id } = await inspect(host.hostId);
			await worker.told("ORDER", id);
			expect(await worker.report(id, "SUCCEEDED", { result: "x".repeat(300_000) }).catch(String)).toContain("262144 bytes");
			expect(await worker.report(id, "SUCCEEDED", { result: "x" })).toBe("SUCCEEDED");
			await worker.close();
		});

		test("the values of environment variables reach the worker, and neither the audit, the events nor the command people see (S7)", async () => {
			const host = await newHost(bench, "FUSED");
			const worker = await scriptedWorker(bench.server, host);
			const secret = "a-secret-of-the-test";
			const env = [{ key: "PASSWORD", value: secret }];
			const exec = await act(bench.server, "execContainer", { hostId: host.hostId, container: "web", command: ["ls"], env });
			const made = await act(bench.server, "createContainer", { hostId: host.hostId, image: "redis", env });
			expect((await worker.told("ORDER", exec.id)).params).toMatchObject({ env: [`PASSWORD=${secret}`] });
			expect((await worker.told("ORDER", made.id)).params).toMatchObject({ spec: { Env: [`PASSWORD=${secret}`] } });
			expect(JSON.stringify([exec, made])).toContain("PASSWORD=[secret]");
			for (const id of [exec.id, made.id]) await worker.report(id, "SUCCEEDED");
			const { sql } = bench.database.db;
			for (const table of ["commands", "audit", "events"]) {
				const rows = await sql.unsafe(`select to_jsonb(it)::text as text from ${table} it`);
				expect(rows.filter(({ text }) => String(text).includes(secret))).toEqual([]);
			}
			expect((await auditOf(bench, host.hostId)).join()).toContain("container.exec.requested");
			expect(await rowCount(bench.database.db, "commands", "params_sealed is not null and ended_at is not null")).toBe(0);
			await worker.close();
		});
	},
	{ MUSTER_STALE_SECONDS: "60" },
);
