import type { Runtime } from "./port.ts";

/** The adapter of the runtime that runs this program. The one dynamic choice, made once at the start. */
export async function selectRuntime(): Promise<Runtime> {
	if ("Deno" in globalThis) return (await import("./deno.ts")).denoRuntime;
	return (await import("./bun.ts")).bunRuntime;
}
