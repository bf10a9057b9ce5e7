import type { NoMesh } from "./port.ts";

/** MUSTER_MESH=none: workers are told of no mesh. */
export const noMesh: NoMesh = { provider: "none", close: async () => {} };
