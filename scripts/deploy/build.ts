/** The worker for a host's platform, built when what lies in dist is missing or older than its sources. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Target } from "../../src/protocol/targets.ts";
import { buildWorker, ensureWorker, fileSha256, outputPath } from "../../worker/build.ts";
import { readPlatform } from "../../worker/facts.ts";
import type { Build } from "./way.ts";

/** Builds, or reuses what `build:worker` built. What is built here for another platform than this one stays beside what the server gives out. */
export async function workerFor(root: string, target: Target, say: (line: string) => void): Promise<Build> {
	if (target === readPlatform()) return measured(await ensureWorker(root));
	const newest = await changedAtMs(root);
	const own = join(root, "dist", "deploy", target, "muster-worker");
	for (const built of [outputPath(root, target), own]) {
		if ((await timeOf(built)) > newest) return measured(built);
	}
	say(`Building the worker for ${target}`);
	await buildWorker(root, target, own);
	return measured(own);
}

/** A finished file and its checksum. */
export async function measured(file: string): Promise<Build> {
	return { file, sha256: await fileSha256(file) };
}

/** When anything that the worker is made of last changed. */
async function changedAtMs(root: string): Promise<number> {
	const folders = await Promise.all(
		["worker", "src/protocol", "src/lib"].map(async (folder) =>
			(await readdir(join(root, folder), { recursive: true }))
				.filter((name) => name.endsWith(".ts"))
				.map((name) => join(root, folder, name)),
		),
	);
	return Math.max(...(await Promise.all([...folders.flat(), join(root, "package.json"), join(root, "package-lock.json")].map(timeOf))));
}

async function timeOf(path: string): Promise<number> {
	return stat(path).then(
		({ mtimeMs }) => mtimeMs,
		() => 0,
	);
}
