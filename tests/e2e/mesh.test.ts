/** The compiled worker on a real mesh: Headscale, Tailscale's own client, and a network of its own for each side. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { headscaleBinaries } from "../support/headscale.ts";
import { TestTailscale } from "../support/tailscale.ts";
import { Machine, type RunningWorker } from "../worker/support.ts";
import { lanPort, meshMissing, MeshStage } from "./mesh-support.ts";
import { soon, testMs, until } from "./support.ts";

const binaries = headscaleBinaries.length === 0 ? [{ path: "", name: "Headscale" }] : headscaleBinaries;
const missing = meshMissing ?? (headscaleBinaries.length === 0 ? "TEST_HEADSCALE_BINARIES names none" : undefined);

async function ended(worker: RunningWorker): Promise<number | string> {
	worker.child.kill("SIGTERM");
	return endOf(worker);
}

/** Its exit code; when it does not end, what it and its client said last. */
function endOf(worker: RunningWorker): Promise<number | string> {
	return soon("the worker's end", worker.exited).catch((error: unknown) => {
		const told = worker.lines.slice(-60).map(({ message, line, why, state }) => `${message} ${JSON.stringify(line ?? why ?? state ?? "")}`);
		throw new Error(`${String(error)}\n${told.join("\n")}`);
	});
}

describe.skipIf(missing !== undefined).each([...binaries])("with $name", ({ path }) => {
	let stage: MeshStage;
	beforeAll(async () => {
		stage = await MeshStage.start(path);
	}, testMs);
	afterAll(() => stage?.[Symbol.asyncDispose](), testMs);

	async function beats(id: string, since: string | null = null): Promise<string> {
		return until("a heartbeat", async () => {
			const { lastHeartbeatAt } = await stage.view(id);
			return lastHeartbeatAt !== null && lastHeartbeatAt !== since ? lastHeartbeatAt : undefined;
		});
	}

	test(
		"H5 H7: from an empty host the worker enrolls over the LAN, joins, and then needs the LAN no more: not for heartbeats, a restart, or a pulled cable",
		async () => {
			using machine = new Machine();
			const { id, token } = await stage.host("edge-1");
			await using worker = await stage.worker(machine, { ...stage.settings("edge-1", token), MUSTER_METRICS_PORT: "9100" });
			await soon("the mesh", worker.line("mesh.joined"));
			await soon("the connection", worker.line("worker.connected"));
			let last = await beats(id);
			await stage.net.close(lanPort);
			const attempts = await stage.attempts();

			const beside = await stage.told(machine, "doctor", "status");
			expect(beside.doctor).toMatch(/^ok {4}address .*100\.64\.0\.1:7481/m);
			expect(beside.doctor).toMatch(/^ok {4}identity /m);
			expect(beside.doctor).toMatch(/^ok {4}mesh .*Running, 100\.64\.0\.\d+ as edge-1$/m);
			expect(beside.status).toMatch(/^mesh: .*Running, 100\.64\.0\.\d+ as edge-1$/m);
			expect(await stage.metrics()).toContain("muster_worker_mesh_joined 1\n");
			expect((await stage.view(id)).meshAddress).toStartWith("100.64.0.");

			// The API's port was never open to the worker's side of the LAN, and now neither is the enroll port.
			last = await beats(id, last);
			expect(await ended(worker)).toBe(0);
			expect(existsSync(join(machine.stateDir, "mesh-auth-key"))).toBe(false);
			for (const kept of ["server.json", "mesh/joined.json"])
				expect(readFileSync(join(machine.stateDir, kept), "utf8")).not.toContain("hskey");
			await using again = await stage.worker(machine);
			await soon("the connection", again.line("worker.connected"));
			last = await beats(id, last);

			await stage.net.cable("down");
			await soon("the loss", again.line("worker.disconnected"));
			await stage.net.cable("up");
			await beats(id, (await stage.view(id)).lastHeartbeatAt);

			expect(again.lines.filter(({ message }) => message === "worker.connected")).toHaveLength(2);
			expect(await stage.attempts()).toBe(attempts);
			await stage.net.reopen(lanPort);
		},
		testMs,
	);

	test(
		"H7 H14: a node that was deleted is told as NeedsLogin, ends the worker with 77 without a token, and joins again with a new one as the same host",
		async () => {
			using machine = new Machine();
			const { id, token } = await stage.host("edge-2");
			await using worker = await stage.worker(machine, stage.settings("edge-2", token));
			const { addresses } = await soon("the mesh", worker.line("mesh.joined"));
			await beats(id);
			expect(await ended(worker)).toBe(0);
			await stage.headscale.deleteNode(String((addresses as readonly string[])[0]));
			const attempts = await stage.attempts();

			await using without = await stage.worker(machine);
			expect(await endOf(without)).toBe(77);
			expect(without.lastWords).toMatchObject({
				message: "worker.stopped",
				exitCode: 77,
				why: expect.stringContaining("regenerateHostToken"),
			});
			expect(without.lines).toContainEqual(expect.objectContaining({ message: "mesh.lost", why: expect.stringContaining("NeedsLogin") }));
			expect(await stage.attempts()).toBe(attempts);

			const beside = await stage.told(machine, "doctor", "status");
			expect(beside.doctor).toMatch(/^skip {2}address .*up while the worker runs$/m);

			const last = (await stage.view(id)).lastHeartbeatAt;
			await using back = await stage.worker(machine, stage.settings("edge-2", await stage.regenerate(id)));
			await soon("the mesh", back.line("mesh.joined"));
			await beats(id, last);
			expect(await stage.attempts()).toBe(attempts + 1);
		},
		testMs,
	);

	test(
		"H7: killed between the reply and the join, the worker joins at its next start with the key it kept, and asks the server for nothing",
		async () => {
			using machine = new Machine();
			const { id, token } = await stage.host("edge-4");
			await using killed = await stage.worker(machine, stage.settings("edge-4", token));
			await soon("the enrollment", killed.line("worker.enrolled"));
			killed.child.kill("SIGKILL");
			await endOf(killed);
			const key = machine.read("mesh-auth-key");
			expect(machine.modes()["mesh-auth-key"]).toBe("600");
			expect(JSON.stringify(killed.lines)).not.toContain(key);
			const attempts = await stage.attempts();

			await using worker = await stage.worker(machine);
			await soon("the mesh", worker.line("mesh.joined"));
			await beats(id);
			expect(await stage.attempts()).toBe(attempts);
			expect(machine.files()).not.toContain("mesh-auth-key");
			expect(JSON.stringify(worker.lines)).not.toContain(key);
		},
		testMs,
	);

	// Nothing in it depends on Headscale's version: with the first alone.
	const once = path === (binaries[0]?.path ?? "") ? test : () => {};
	once(
		"H7: with a device, and with the host's own client, it is the same; workers beside each other have no port in common",
		async () => {
			using one = new Machine();
			using other = new Machine();
			using third = new Machine();
			const hosts = [await stage.host("edge-5"), await stage.host("edge-6"), await stage.host("edge-7")] as const;
			await using userspace = await stage.worker(one, stage.settings("edge-5", hosts[0].token));
			await using tun = await stage.worker(other, { ...stage.settings("edge-6", hosts[1].token), MUSTER_MESH_MODE: "tun" });
			await Promise.all([soon("the mesh", userspace.line("mesh.joined")), soon("the mesh", tun.line("mesh.joined"))]);
			await Promise.all([beats(hosts[0].id), beats(hosts[1].id)]);
			expect((await stage.told(other, "doctor")).doctor).toMatch(/^ok {4}mesh .*Running/m);
			expect(await ended(tun)).toBe(0);

			await using own = await TestTailscale.start({ dir: third.root, within: stage.net.onWorker, tun: "host0" });
			await own.join(stage.headscale.url, await stage.headscale.mint(), "edge-7");
			const host = { MUSTER_MESH_MODE: "host", MUSTER_MESH_SOCKET: own.socket };
			await using worker = await stage.worker(third, { ...stage.settings("edge-7", hosts[2].token), ...host });
			await soon("the connection", worker.line("worker.connected"));
			await beats(hosts[2].id);
			expect(await ended(worker)).toBe(0);
			expect(await own.cli("status")).toContain("muster-server");
		},
		testMs,
	);

	test(
		"H7: a mesh directory that was lost is told, whatever tailscaled has written there since, and a used token does not bring it back",
		async () => {
			using machine = new Machine();
			const { id, token } = await stage.host("edge-3");
			await using worker = await stage.worker(machine, stage.settings("edge-3", token));
			await beats(id);
			expect(await ended(worker)).toBe(0);
			rmSync(join(machine.stateDir, "mesh"), { recursive: true });

			await using lost = await stage.worker(machine);
			expect(await endOf(lost)).toBe(77);
			expect(existsSync(join(machine.stateDir, "mesh", "tailscaled.state"))).toBe(true);
			rmSync(join(machine.stateDir, "mesh"), { recursive: true });
			const beside = await stage.told(machine, "doctor", "status");
			expect(beside.doctor).toMatch(/^FAIL {2}mesh .*regenerateHostToken/m);
			expect(beside.status).toMatch(/^mesh: .*regenerateHostToken/m);
			await using used = await stage.worker(machine, stage.settings("edge-3", token));
			expect(await endOf(used)).toBe(77);
			expect(used.lastWords).toMatchObject({ reason: "already_consumed" });
		},
		testMs,
	);
});
