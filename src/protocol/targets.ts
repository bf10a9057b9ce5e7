/** The platforms a worker is built for (G3); also the names below /download. */
export const targets = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl", "darwin-arm64", "windows-x64"] as const;
export type Target = (typeof targets)[number];

/** Whether a text names one. */
export function isTarget(text: string): text is Target {
	return (targets as readonly string[]).includes(text);
}

/** The name of the worker's file there. */
export function workerFileName(target: Target): string {
	return target === "windows-x64" ? "muster-worker.exe" : "muster-worker";
}
