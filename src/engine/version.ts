import { EngineError } from "./error.ts";

/** The API versions this client speaks: Docker 20.10 has no newer one than 1.41, Docker 29 none older than 1.44. */
export const apiVersions = { min: "1.41", max: "1.52" } as const;

/** The version to speak: the newest both know. Throws `EngineError` `docker_unavailable` that names both sides' versions when there is none. */
export function negotiate(engine: { readonly newest: string; readonly oldest: string | undefined }): string {
	const version = compareVersions(engine.newest, apiVersions.max) < 0 ? engine.newest : apiVersions.max;
	if (compareVersions(version, apiVersions.min) < 0) {
		throw new EngineError(
			"docker_unavailable",
			`Cannot use this Docker: its API goes up to ${engine.newest}, and ${apiVersions.min} is needed; update Docker to 20.10 or newer`,
		);
	}
	if (engine.oldest !== undefined && compareVersions(version, engine.oldest) < 0) {
		throw new EngineError(
			"docker_unavailable",
			`Cannot use this Docker: its API begins at ${engine.oldest}, and this Muster knows it up to ${apiVersions.max}; update Muster`,
		);
	}
	return version;
}

/** Below, at or above 0 as the first version is older than, the same as or newer than the second. Throws `EngineError` for what is none. */
export function compareVersions(one: string, other: string): number {
	const [a, b] = [parts(one), parts(other)];
	return a.major - b.major || a.minor - b.minor;
}

function parts(version: string): { readonly major: number; readonly minor: number } {
	const [, major, minor] = /^(\d{1,4})\.(\d{1,4})$/.exec(version) ?? [];
	if (major === undefined || minor === undefined) {
		throw new EngineError("docker_unavailable", `Cannot use this Docker: it calls its API version ${JSON.stringify(version)}`);
	}
	return { major: Number(major), minor: Number(minor) };
}
