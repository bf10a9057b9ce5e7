import * as v from "valibot";
import { ask, type CallOptions, type Engine } from "./engine.ts";

const infoSchema = v.object({
	ID: v.string(),
	Name: v.string(),
	ServerVersion: v.string(),
	MemTotal: v.optional(v.number(), 0),
	OSType: v.optional(v.string(), ""),
	Architecture: v.optional(v.string(), ""),
});

/** Who the engine is. */
export interface EngineInfo {
	/** Made by the engine at its first start and kept in its data directory: another id is another engine. */
	readonly id: string;
	/** The host's name. */
	readonly name: string;
	readonly version: string;
	readonly apiVersion: string;
	/** The host's memory; 0: unknown. */
	readonly memoryBytes: number;
	/** `linux` or `windows`. */
	readonly os: string;
	readonly architecture: string;
}

/** Asks the engine who it is. */
export async function engineInfo(engine: Engine, options?: CallOptions): Promise<EngineInfo> {
	const info = await ask(engine, infoSchema, { path: "/info" }, options);
	return {
		id: info.ID,
		name: info.Name,
		version: info.ServerVersion,
		apiVersion: engine.apiVersion,
		memoryBytes: info.MemTotal,
		os: info.OSType,
		architecture: info.Architecture,
	};
}
