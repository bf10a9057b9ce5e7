/** Replaced by `--define` when the worker is compiled (worker/build.ts). */
declare const MUSTER_BUILD_VERSION: string | undefined;

/** The version baked in at build time; `0.0.0-source` when the worker runs from its sources. */
export const workerVersion: string = typeof MUSTER_BUILD_VERSION === "string" ? MUSTER_BUILD_VERSION : "0.0.0-source";
