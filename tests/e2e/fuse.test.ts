/** Fusing by Docker with all parts real: the server, the compiled worker, Docker Engine. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { asAdmin } from "../support/muster.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { docker, DockerDoor, hasDocker, image, importImage, named, tidy } from "./docker-support.ts";
import { hasDockerd, SecondEngine } from "./second-engine.ts";
import { Fleet, testMs, until } from "./support.ts";

const shown = "id state lastKnownState fuseProvider fusion { step engineId outcome failureSource failureMessage }";

describe.skipIf(!hasDocker)("fusing a host by its Docker Engine (needs Docker and busybox)", () => {
	beforeAll(() => importImage(), testMs);
	afterAll(() => tidy(), testMs);

	/** The one host of a fleet, once it is in this state. */
	const hostIs = (fleet: Fleet, state: string) =>
		until(`the host is ${state}`, async () => {
			const [host] = (await asAdmin(fleet.server, `{ hosts { nodes { ${shown} engine { id } } } }`)).hosts.nodes;
			return host?.state === state && host.engine !== null && host;
		});
	const fuse = (fleet: Fleet, id: string) => asAdmin(fleet.server, "mutation ($id: ID!) { fuseHost(id: $id) { host { id } } }", { id });
	const unfuse = (fleet: Fleet, id: string) => asAdmin(fleet.server, "mutation ($id: ID!) { unfuseHost(id: $id) { host { id } } }", { id });

	/** Asks for an action and waits for its end. */
	async function does(fleet: Fleet, name: string, type: string, input: object) {
		const { [name]: payload } = await asAdmin(fleet.server, `mutation ($input: ${type}!) { ${name}(input: $input) { command { id } } }`, {
			input,
		});
		return until(`the end of ${name}`, async () => {
			const query = "query ($id: ID!) { command(id: $id) { state result errorCode errorMessage } }";
			const { command } = await asAdmin(fleet.server, query, { id: payload.command.id });
			return command.state === "QUEUED" || command.state === "RUNNING" ? undefined : command;
		});
	}
	const create = (fleet: Fleet, hostId: string, name: string) =>
		does(fleet, "createContainer", "CreateContainerInput", { hostId, image, name, start: true });

	async function machineOn(fleet: Fleet, machine: Machine, env: Readonly<Record<string, string>> = {}) {
		const key = await fleet.site("EDGE");
		return runWorker(machine, [], { ...fleet.settings("EDGE", key), ...env });
	}

	test(
		"H11 H12: the engine is proven and pinned, its containers are made, stopped and removed as asked, and after unfusing none is",
		async () => {
			await using fleet = await Fleet.start();
			using machine = new Machine();
			await using _worker = await machineOn(fleet, machine);
			const { id } = await hostIs(fleet, "MONITORING");
			const name = named("fused");
			expect(await create(fleet, id, name).catch(String)).toContain("fuse it first");
			await fuse(fleet, id);
			const fused = await hostIs(fleet, "FUSED");
			expect(fused).toMatchObject({ fuseProvider: "DOCKER", fusion: { step: "FUSED", engineId: docker("info", "--format", "{{.ID}}") } });
			expect(docker("ps", "--all", "--quiet", "--filter", "label=io.muster.challenge")).toBe("");

			const made = await create(fleet, id, name);
			expect(made).toMatchObject({ state: "SUCCEEDED", errorMessage: null });
			expect(made.result.containerId).toBe(docker("inspect", "--format", "{{.Id}}", name));
			expect(docker("inspect", "--format", "{{.State.Running}}", name)).toBe("true");
			const stopped = await does(fleet, "stopContainer", "StopContainerInput", { hostId: id, container: name, timeoutSeconds: 0 });
			expect(stopped.state).toBe("SUCCEEDED");
			expect(docker("inspect", "--format", "{{.State.Running}}", name)).toBe("false");
			expect((await does(fleet, "removeContainer", "RemoveContainerInput", { hostId: id, container: name })).state).toBe("SUCCEEDED");
			expect(docker("ps", "--all", "--quiet", "--filter", `name=${name}`)).toBe("");

			await unfuse(fleet, id);
			await hostIs(fleet, "MONITORING");
			expect(await create(fleet, id, name).catch(String)).toContain("fuse it first");
		},
		testMs,
	);

	test(
		"H11: an engine that never answers the proof is given up at the deadline, and the host can be fused when it answers again",
		async () => {
			await using fleet = await Fleet.start({ env: { MUSTER_FUSE_DEADLINE_SECONDS: "2" } });
			using machine = new Machine();
			await using door = new DockerDoor();
			await door.open();
			await using _worker = await machineOn(fleet, machine, { MUSTER_DOCKER_SOCKET: door.path });
			const { id } = await hostIs(fleet, "MONITORING");
			door.swallow = /POST \S*\/containers\/create/;
			await fuse(fleet, id);
			await until("the proof is under way", () => door.swallowed > 0);
			const { fusion } = await until("it is given up", async () => {
				const host = await hostIs(fleet, "MONITORING");
				return host.fusion?.outcome === "FAILED" && host;
			});
			expect(fusion).toMatchObject({ failureSource: "watchdog_timeout", step: "ENDED" });
			const page = await (await fetch(fleet.server.metricsUrl)).text();
			expect(page).toContain('muster_fuse_failed_total{source="watchdog_timeout"} 1');
			door.swallow = undefined;
			// What hangs in the worker ends with its connection.
			await door.shut();
			await door.open();
			await until("it is fused after all", async () => {
				const host = await hostIs(fleet, "MONITORING").catch(() => undefined);
				if (host !== undefined) await fuse(fleet, id);
				return until("an outcome", async () => {
					const [now] = (await asAdmin(fleet.server, `{ hosts { nodes { ${shown} } } }`)).hosts.nodes;
					return now.state !== "FUSING" && now;
				}).then(({ state }) => state === "FUSED");
			});
		},
		testMs,
	);

	test.skipIf(!hasDockerd)(
		"H11: an engine swapped for another unfuses the host at the worker's next report, with a critical alert (needs root and dockerd)",
		async () => {
			await using fleet = await Fleet.start();
			using machine = new Machine();
			await using second = await SecondEngine.start();
			const way = join(machine.root, "way.sock");
			symlinkSync("/var/run/docker.sock", way);
			try {
				await using worker = await machineOn(fleet, machine, { MUSTER_DOCKER_SOCKET: way });
				const { id } = await hostIs(fleet, "MONITORING");
				await fuse(fleet, id);
				const { fusion } = await hostIs(fleet, "FUSED");
				expect(fusion.engineId).not.toBe(second.id());
				rmSync(way);
				symlinkSync(second.socket, way);
				worker.child.kill("SIGTERM");
				await worker.exited;
				await using _again = await machineOnAgain(fleet, machine, way);
				const swapped = await hostIs(fleet, "MONITORING");
				expect(swapped).toMatchObject({ fuseProvider: null, fusion: { outcome: "ENGINE_CHANGED", engineId: fusion.engineId } });
				const { alerts } = await asAdmin(fleet.server, "{ alerts(first: 20) { nodes { kind severity host { id } } } }");
				expect(alerts.nodes).toContainEqual({ kind: "ENGINE_CHANGED", severity: "critical", host: { id } });
				expect(await create(fleet, id, named("swapped")).catch(String)).toContain("fuse it first");
				// Fused anew it is the other engine's.
				await fuse(fleet, id);
				expect((await hostIs(fleet, "FUSED")).fusion.engineId).toBe(second.id());
			} finally {
				rmSync(way, { force: true });
			}
		},
		testMs,
	);

	/** The same worker, which has enrolled. */
	const machineOnAgain = (fleet: Fleet, machine: Machine, way: string) =>
		runWorker(machine, [], { MUSTER_URL: fleet.server.url, MUSTER_WORKER_NAME: "edge-1", MUSTER_DOCKER_SOCKET: way });
});
