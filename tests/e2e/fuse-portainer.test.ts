/** Fusing by Portainer with a real server, worker and Docker Engine: the fake Portainer stands between, and its proxy asks the real engine. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { asAdmin } from "../support/muster.ts";
import { fakeAgent, fakePortainer } from "../support/fakes/portainer.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { docker, hasDocker, image, importImage, named, tidy } from "./docker-support.ts";
import { Fleet, testMs, until } from "./support.ts";

const agentName = "portainer_edge_agent";
const isAgentThere = () => docker("ps", "--all", "--quiet", "--filter", `name=^/${agentName}$`) !== "";

describe.skipIf(!hasDocker)("fusing a host by a Portainer, a fake before a real engine (needs Docker and busybox)", () => {
	beforeAll(() => importImage(), testMs);
	afterAll(() => tidy(), testMs);

	test(
		"H11 H12: the worker rolls the agent out, changes reach the engine through the proxy, and unfusing leaves no agent, no volume and no environment",
		async () => {
			const portainer = await fakePortainer();
			portainer.socket = "/var/run/docker.sock";
			await using fleet = await Fleet.start({
				env: {
					MUSTER_PORTAINER_URL: portainer.url,
					MUSTER_PORTAINER_API_KEY: portainer.apiKey,
					MUSTER_PORTAINER_AGENT_IMAGE: image,
				},
			});
			using machine = new Machine();
			const key = await fleet.site("EDGE");
			await using _worker = await runWorker(machine, [], fleet.settings("EDGE", key));
			const shown = "id state engine { id } fusion { step engineId environmentId outcome failureMessage }";
			const hostIs = (state: string) =>
				until(`the host is ${state}`, async () => {
					const [host] = (await asAdmin(fleet.server, `{ hosts { nodes { ${shown} } } }`)).hosts.nodes;
					return host?.state === state && host.engine !== null && host;
				});
			const { id } = await hostIs("MONITORING");
			const fuse = "mutation ($id: ID!) { fuseHost(id: $id, provider: PORTAINER) { host { id } } }";
			await asAdmin(fleet.server, fuse, { id });
			await until("the agent's container", isAgentThere);
			// The image is no agent: what the container was given is polled with from here.
			const variables = Object.fromEntries(
				(JSON.parse(docker("inspect", "--format", "{{json .Config.Env}}", agentName)) as string[]).map((line) => [
					line.slice(0, line.indexOf("=")),
					line.slice(line.indexOf("=") + 1),
				]),
			);
			const agent = fakeAgent({ edgeKey: variables["EDGE_KEY"] ?? "", edgeId: variables["EDGE_ID"] ?? "" });
			try {
				const fused = await hostIs("FUSED");
				expect(fused.fusion.engineId).toBe(docker("info", "--format", "{{.ID}}"));
				const name = named("by-portainer");
				const create = "mutation ($input: CreateContainerInput!) { createContainer(input: $input) { command { id } } }";
				const input = { hostId: id, image, name, start: true };
				const command = (await asAdmin(fleet.server, create, { input })).createContainer.command.id;
				const ended = await until("its end", async () => {
					const { command: now } = await asAdmin(fleet.server, "query ($id: ID!) { command(id: $id) { state errorMessage } }", {
						id: command,
					});
					return now.state !== "QUEUED" && now.state !== "RUNNING" && now;
				});
				expect(ended).toEqual({ state: "SUCCEEDED", errorMessage: null });
				expect(docker("inspect", "--format", '{{.State.Running}} {{index .Config.Labels "io.muster.command"}}', name)).toBe(
					`true ${command}`,
				);

				await asAdmin(fleet.server, "mutation ($id: ID!) { unfuseHost(id: $id) { host { id } } }", { id });
				await until("the environment is gone", () => portainer.environments.size === 0);
				expect(isAgentThere()).toBe(false);
				expect(docker("volume", "ls", "--quiet", "--filter", "name=portainer_agent_data")).toBe("");
			} finally {
				await agent.stop();
				if (isAgentThere()) docker("rm", "--force", "--volumes", agentName);
				await portainer.close();
			}
		},
		testMs,
	);
});
