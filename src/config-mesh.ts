/** The part of the configuration that is about the mesh. Pure. */
import { isSet } from "./config-env.ts";
import type { Secret } from "./lib/secret.ts";
import type { HeadscaleConfig } from "./mesh/headscale.ts";

const needed = ["MUSTER_HEADSCALE_URL", "MUSTER_HEADSCALE_API_KEY"] as const;
const all = [...needed, "MUSTER_HEADSCALE_USER", "MUSTER_HEADSCALE_TAGS", "MUSTER_HEADSCALE_PUBLIC_URL"] as const;

/** What is missing for a mesh, or is there without one. */
export function meshProblems(env: Readonly<Record<string, string | undefined>>, mesh: "none" | "headscale" | undefined): string[] {
	// A MUSTER_MESH that is no mesh was told of already.
	if (mesh === undefined && isSet(env, "MUSTER_MESH")) return [];
	if (mesh !== "headscale") {
		return all.filter((name) => isSet(env, name)).map((name) => `${name} is given without a mesh: set MUSTER_MESH=headscale, or unset it`);
	}
	const missing = needed.filter((name) => !isSet(env, name)).map((name) => `${name} is not given: MUSTER_MESH=headscale needs it`);
	if (isSet(env, "MUSTER_HEADSCALE_USER") || isSet(env, "MUSTER_HEADSCALE_TAGS")) return missing;
	return [
		...missing,
		"MUSTER_HEADSCALE_USER and MUSTER_HEADSCALE_TAGS are not given: set the user whose keys are minted (before 0.28), the tags of the nodes, or both",
	];
}

/** The mesh's configuration; undefined without one. Complete when `meshProblems` has found none. */
export function meshConfig(values: {
	readonly MUSTER_MESH?: "none" | "headscale";
	readonly MUSTER_HEADSCALE_URL?: string;
	readonly MUSTER_HEADSCALE_API_KEY?: Secret;
	readonly MUSTER_HEADSCALE_USER?: string;
	readonly MUSTER_HEADSCALE_TAGS?: readonly string[];
	readonly MUSTER_HEADSCALE_PUBLIC_URL?: string;
}): HeadscaleConfig | undefined {
	const { MUSTER_HEADSCALE_URL: url, MUSTER_HEADSCALE_API_KEY: apiKey } = values;
	if (values.MUSTER_MESH !== "headscale" || url === undefined || apiKey === undefined) return undefined;
	return Object.freeze({
		url,
		publicUrl: values.MUSTER_HEADSCALE_PUBLIC_URL ?? url,
		apiKey,
		user: values.MUSTER_HEADSCALE_USER,
		tags: Object.freeze(values.MUSTER_HEADSCALE_TAGS ?? []),
	});
}
