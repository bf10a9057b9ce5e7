/** The real server, the compiled worker and a real Docker Engine: what is reported is what the API shows, and a command does what was asked. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { asAdmin } from "../support/muster.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { docker, hasDocker, importImage, named, runContainer, tidy } from "./docker-support.ts";
import { Fleet, testMs, until } from "./support.ts";

describe.skipIf(!hasDocker)("server, worker and Docker (needs Docker and busybox)", () => {
	beforeAll(() => importImage(), testMs);
	afterAll(() => tidy(), testMs);

	test(
		"H9 H10 H12: the host shows its engine and containers; an exec runs there and tells its exit code; a change is refused until the host is fused",
		async () => {
			await using fleet = await Fleet.start();
			using machine = new Machine();
			const key = await fleet.site("EDGE");
			await using _worker = await runWorker(machine, [], fleet.settings("EDGE", key));
			const container = runContainer("served");
			const hosts = "{ hosts { nodes { id state engine { id reason } containers(first: 100) { name } } } }";
			const host = await until("the container in the API", async () => {
				const [node] = (await asAdmin(fleet.server, hosts)).hosts.nodes;
				return node?.containers.some(({ name }: { name: string }) => name === named("served")) ? node : undefined;
			});
			expect(host.engine).toEqual({ id: docker("info", "--format", "{{.ID}}"), reason: null });

			const input = { hostId: host.id, container, command: ["sh", "-c", "echo said; exit 5"] };
			const exec = "mutation ($input: ExecContainerInput!) { execContainer(input: $input) { command { id } } }";
			const { id } = (await asAdmin(fleet.server, exec, { input })).execContainer.command;
			const query = "query ($id: ID!) { node(id: $id) { ... on Command { state result errorMessage } } }";
			const ended = await until("its end", async () => {
				const { node } = await asAdmin(fleet.server, query, { id });
				return node.state === "QUEUED" || node.state === "RUNNING" ? undefined : node;
			});
			expect(ended).toEqual({ state: "SUCCEEDED", result: { exitCode: 5 }, errorMessage: null });

			const stop = "mutation ($input: StopContainerInput!) { stopContainer(input: $input) { command { id } } }";
			const refused = await asAdmin(fleet.server, stop, { input: { hostId: host.id, container } }).catch(String);
			expect(String(refused)).toContain("FUSED");
			expect(docker("inspect", "--format", "{{.State.Running}}", container)).toBe("true");
		},
		testMs,
	);
});
