import { expect, test } from "bun:test";
import { hex } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { act, auditOf, becomes, commandOf, newHost } from "./commands-support.ts";
import { onPortainer } from "./fuse-portainer-support.ts";
import { unfuse, withWorker } from "./fuse-support.ts";

onPortainer("changes of a host fused by Portainer", (bench) => {
	test("changes go through Portainer's proxy in their order and not to the worker, and carry the command's label (H12)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			const name = `web-${hex(4)}`;
			const create = await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny", name, start: true });
			const stop = await act(bench.server, "stopContainer", { hostId: host.hostId, container: name });
			const ended = await becomes(bench.server, create.id, "SUCCEEDED");
			await becomes(bench.server, stop.id, "SUCCEEDED");
			const made = bench.portainer.engine.containers.find((one) => one.name === name);
			expect(made).toMatchObject({ Id: ended.result.containerId, state: "exited", spec: { Labels: { "io.muster.command": create.id } } });
			const bad = await act(bench.server, "createContainer", { hostId: host.hostId, image: "no-such-image" });
			const refused = await becomes(bench.server, bad.id, "FAILED");
			expect([refused.errorCode, refused.errorMessage]).toEqual(["not_found", expect.stringContaining("No such image")]);
			await becomes(
				bench.server,
				(await act(bench.server, "removeContainer", { hostId: host.hostId, container: name, force: true })).id,
				"SUCCEEDED",
			);
			expect(bench.portainer.engine.containers.some((one) => one.name === name)).toBe(false);
			expect(orders.kinds()).toEqual(["agent.deploy"]);
			expect((await auditOf(bench, create.id)).join()).toContain("command.succeeded");
			await bench.unfused(host, orders);
		});
	});

	test("a change whose server died is taken up by the next, which finds by the label what was done: nothing is made twice (H12)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			const name = `once-${hex(4)}`;
			bench.portainer.engine.silenceNext(/^POST \/containers\/create$/);
			const create = await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny", name, start: true });
			await until("the container is made", () => bench.portainer.engine.containers.some((one) => one.name === name));
			// The turn is another's now: the first, which waits for its answer, must not say how it ended.
			await bench.database.db.sql`update command_runs set lease_until = now(), runs = runs + 1 where command_id = ${create.id}`;
			const ended = await becomes(bench.server, create.id, "SUCCEEDED");
			expect(bench.portainer.engine.containers.filter((one) => one.name === name)).toMatchObject([
				{ Id: ended.result.containerId, state: "running" },
			]);
			await bench.unfused(host, orders);
		});
	});

	test("what stands behind the proxy is another engine than the pinned one: nothing is changed on it (H11, H12)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			const { engine } = bench.portainer;
			const [pinned, name] = [engine.id, `swapped-${hex(4)}`];
			engine.id = "ANOTHER";
			try {
				const create = await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny", name });
				const { errorCode, errorMessage } = await becomes(bench.server, create.id, "FAILED");
				expect([errorCode, errorMessage]).toEqual(["not_fused", expect.stringContaining("ANOTHER")]);
				expect(engine.containers.some((one) => one.name === name)).toBe(false);
			} finally {
				engine.id = pinned;
			}
			await bench.unfused(host, orders);
		});
	});

	test("a change can be cancelled while Portainer is at it, and unfusing does that too", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			bench.portainer.engine.silenceNext(/^POST \/containers\/create$/);
			const command = await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny" });
			await becomes(bench.server, command.id, "RUNNING");
			const waiting = await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny" });
			await unfuse(bench.server, host.hostId);
			await becomes(bench.server, command.id, "CANCELLED");
			expect((await commandOf(bench.server, waiting.id)).state).toBe("CANCELLED");
			await bench.undone(host, orders);
		});
	});

	test("while a host is DEGRADED its changes wait, and go in their order when it is back (H13)", async () => {
		const host = await newHost(bench);
		await withWorker(bench.server, host, async (orders) => {
			await bench.fused(host, orders);
			await bench.database.db.sql`update hosts set state = 'DEGRADED' where id = ${host.hostId}`;
			const names = [`q1-${hex(4)}`, `q2-${hex(4)}`];
			for (const name of names) await act(bench.server, "createContainer", { hostId: host.hostId, image: "tiny", name });
			// Another host's change shows that the server has looked since.
			const other = await newHost(bench);
			await withWorker(bench.server, other, async (theirs) => {
				await bench.fused(other, theirs);
				await becomes(bench.server, (await act(bench.server, "createContainer", { hostId: other.hostId, image: "tiny" })).id, "SUCCEEDED");
				await bench.unfused(other, theirs);
			});
			expect(bench.portainer.engine.containers.filter(({ name }) => names.includes(name))).toEqual([]);
			await bench.database.db.sql`update hosts set state = 'FUSED' where id = ${host.hostId}`;
			await until("both are made", () => bench.portainer.engine.containers.filter(({ name }) => names.includes(name)).length === 2);
			expect(bench.portainer.engine.containers.flatMap(({ name }) => (names.includes(name) ? [name] : []))).toEqual(names);
			await bench.unfused(host, orders);
		});
	});
});
