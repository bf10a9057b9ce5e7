import { createContainer, listContainers, removeContainer, startContainer } from "../src/engine/containers.ts";
import { importImage, listImages, removeImage } from "../src/engine/images.ts";
import { CommandFault, type Doer, type EngineContext, type PlainDoer } from "./commands-kind.ts";
import { probeArchive, probeProgram } from "./probe-image.ts";

const challengeLabel = "io.muster.challenge";
const probeName = "muster-probe";
/** Another worker may prove itself to the same engine at the same time. */
const leftMs = 600_000;

/**
 * Proves that this worker controls the engine: starts a container that carries the challenge, finds it by that in the engine's list, and removes
 * it. Without a given image it brings one of its own, so that nothing is fetched. What a crash left of a former proof is cleaned up first.
 */
export const doProve: Doer<"fuse.prove"> = async (context, { challenge, image }) => {
	const { engine, info, clock, fuse } = context;
	await sweep(context, challenge);
	const probe = image === null ? await bringImage(context) : { image, command: undefined, brought: false };
	try {
		const spec = {
			Image: probe.image,
			...(probe.command === undefined ? {} : { Entrypoint: probe.command, Cmd: [] }),
			Labels: { [challengeLabel]: challenge },
			HostConfig: { NetworkMode: "none" },
		};
		const { id } = await createContainer(engine, null, spec);
		await startContainer(engine, id);
		const seen = await listContainers(engine, { label: [`${challengeLabel}=${challenge}`] });
		if (!seen.some(({ Id }) => Id === id)) {
			throw new CommandFault("docker_error", "Cannot prove control of Docker: the container that was started is not in its list");
		}
	} finally {
		await sweep(context, challenge);
		if (probe.brought) await removeImage(engine, probe.image).catch(() => {});
	}
	fuse.prove(info.id, clock.now());
	return { engineId: info.id, engineVersion: info.version, apiVersion: info.apiVersion };
};

/** From now on changing commands are taken, as long as the engine is the proven one. Rejects with `not_fused` when it is another, or none was proven. */
export const doGrant: Doer<"fuse.grant"> = async ({ fuse, info, clock }, { provider, engineId }) => {
	if (info.id !== engineId) throw new CommandFault("not_fused", `Cannot fuse to engine "${engineId}": this host's engine is "${info.id}"`);
	const why = fuse.fuse({ provider, engineId }, clock.now());
	if (why !== undefined) throw new CommandFault("not_fused", why);
	return { engineId };
};

/** No changing command is taken any more. */
export const doRevoke: PlainDoer<"fuse.revoke"> = async ({ fuse }) => {
	fuse.revoke();
	return {};
};

/** Removes the containers of this proof, also of an earlier attempt at it, and what other proofs left behind long ago: a proof takes seconds. */
async function sweep({ engine, clock }: EngineContext, challenge: string): Promise<void> {
	for (const { Id, Labels, Created } of await listContainers(engine, { label: [challengeLabel] })) {
		const left = clock.now() - Created * 1_000 > leftMs;
		if (left || Labels?.[challengeLabel] === challenge) await removeContainer(engine, Id, { force: true, volumes: true });
	}
}

/** The worker's own image, or on a processor it has no program for, any that is there. */
async function bringImage({ engine, info, commandId }: EngineContext): Promise<{
	readonly image: string;
	readonly command: readonly string[] | undefined;
	readonly brought: boolean;
}> {
	const archive = info.os === "linux" ? probeArchive(info.architecture) : undefined;
	if (archive !== undefined) {
		const tag =
			commandId
				.toLowerCase()
				.replace(/[^a-z0-9]/g, "")
				.slice(-24) || "probe";
		await importImage(engine, archive, { name: probeName, tag });
		return { image: `${probeName}:${tag}`, command: [probeProgram], brought: true };
	}
	const [local] = await listImages(engine);
	if (local !== undefined) return { image: local.Id, command: undefined, brought: false };
	throw new CommandFault(
		"not_found",
		`Cannot prove control of Docker: this worker has no program for ${info.os} on ${info.architecture}, and the host no image; load one with docker pull`,
	);
}
