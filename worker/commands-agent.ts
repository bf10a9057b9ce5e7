import { createContainer, type ContainerSummary, listContainers, removeContainer, startContainer } from "../src/engine/containers.ts";
import { findImage, pullImage } from "../src/engine/images.ts";
import { createVolume, listVolumes, removeVolume } from "../src/engine/volumes.ts";
import { CommandFault, commandLabel, type Doer, type EngineContext } from "./commands-kind.ts";

const containerName = "portainer_edge_agent";
const volumeName = "portainer_agent_data";
/** Marks what Muster made, so that it removes nothing else. */
const agentLabel = "io.muster.agent";

/**
 * Runs Portainer's Edge agent as Portainer's own command for Docker Standalone does. An agent that Muster made before is replaced; one that it
 * did not make is left alone: `conflict`. The image is fetched only when it is not there.
 */
export const doDeployAgent: Doer<"agent.deploy"> = async (context, { image, edgeId, edgeKey, insecurePoll }) => {
	const { engine, commandId, signal } = context;
	for (const agent of await findAgents(context)) {
		if (agent.Labels?.[agentLabel] === undefined) {
			throw new CommandFault(
				"conflict",
				`Cannot deploy the Edge agent: there is a container "${containerName}" that Muster did not make, remove it first`,
			);
		}
		await removeContainer(engine, agent.Id, { force: true, volumes: false });
	}
	if ((await findImage(engine, image, { signal })) === undefined) {
		for await (const _progress of pullImage(engine, image, { signal })) signal.throwIfAborted();
	}
	const labels = { [agentLabel]: edgeId, [commandLabel]: commandId };
	await createVolume(engine, { Name: volumeName, Labels: { [agentLabel]: edgeId } });
	// No Hostname: the agent finds its own address by the one Docker gives.
	const { id } = await createContainer(engine, containerName, {
		Image: image,
		Env: ["EDGE=1", `EDGE_ID=${edgeId}`, `EDGE_KEY=${edgeKey}`, `EDGE_INSECURE_POLL=${insecurePoll ? 1 : 0}`],
		Labels: labels,
		HostConfig: {
			Binds: [
				"/var/run/docker.sock:/var/run/docker.sock",
				"/var/lib/docker/volumes:/var/lib/docker/volumes",
				"/:/host",
				`${volumeName}:/data`,
			],
			RestartPolicy: { Name: "always" },
		},
	});
	await startContainer(engine, id);
	return { containerId: id };
};

/** Removes the agent and its volume, as far as Muster made them; nothing happens when they are gone. */
export const doRemoveAgent: Doer<"agent.remove"> = async (context) => {
	const { engine } = context;
	for (const agent of await findAgents(context)) {
		if (agent.Labels?.[agentLabel] !== undefined) await removeContainer(engine, agent.Id, { force: true, volumes: true });
	}
	const volumes = await listVolumes(engine, { label: [agentLabel] });
	for (const { Name } of volumes) if (Name === volumeName) await removeVolume(engine, Name);
	return {};
};

/** Docker's filter takes a name for a pattern that may stand anywhere in it. */
async function findAgents({ engine }: EngineContext): Promise<readonly ContainerSummary[]> {
	const found = await listContainers(engine, { name: [containerName] });
	return found.filter(({ Names }) => Names?.includes(`/${containerName}`));
}
