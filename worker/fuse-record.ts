import { join } from "node:path";
import * as v from "valibot";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Disk, removeFile, replaceFile } from "./disk.ts";
import { Fatal, reasonOf } from "./fatal.ts";

const proofSchema = v.object({ engineId: v.string(), atMs: v.number() });
const grantSchema = v.object({ provider: v.picklist(["DOCKER", "PORTAINER"]), engineId: v.string(), atMs: v.number() });
const recordSchema = v.object({ version: v.literal(1), proof: v.nullable(proofSchema), grant: v.nullable(grantSchema) });

/** That this host's engine was proven, and that it is given into Muster's hands (H11): the worker's own word, whatever the server says. */
export type FuseGrant = v.InferOutput<typeof grantSchema>;

/** The record in the state directory. Writes are durable when they return, and throw `Fatal` 73 when they cannot be. */
export interface FuseRecord {
	readonly grant: FuseGrant | null;
	/** Notes that an engine was controlled; a grant that stands is not touched. */
	prove(engineId: string, nowMs: number): void;
	/** Fuses to the engine of the last proof. Returns why not when there is none, it is too old or of another engine. */
	fuse(grant: Pick<FuseGrant, "provider" | "engineId">, nowMs: number): string | undefined;
	revoke(): void;
	/** Why an engine may not be changed; undefined: it may. */
	refusal(engineId: string): string | undefined;
}

/** A proof is followed by its grant at once, but for the time that an Edge agent takes to come up. */
const proofMsMax = 3_600_000;

/** Opens the record of a state directory. Throws `Fatal` 74 when it cannot be read. */
export function openFuseRecord(disk: Disk, stateDir: string): FuseRecord {
	const path = join(stateDir, "fuse.json");
	let record = load(disk, path);

	function keep(next: typeof record): void {
		replaceFile(disk, path, `${JSON.stringify(next)}\n`);
		record = next;
	}

	return {
		get grant() {
			return record.grant;
		},
		prove: (engineId, nowMs) => keep({ ...record, proof: { engineId, atMs: nowMs } }),
		fuse(grant, nowMs) {
			const { proof } = record;
			if (record.grant?.engineId === grant.engineId && record.grant.provider === grant.provider) return undefined;
			if (proof === null || nowMs - proof.atMs > proofMsMax)
				return "Cannot fuse: this worker has not proven lately that it controls its engine";
			if (proof.engineId !== grant.engineId) {
				return `Cannot fuse to engine "${grant.engineId}": the one that was proven is "${proof.engineId}"`;
			}
			keep({ version: 1, proof: null, grant: { ...grant, atMs: nowMs } });
			return undefined;
		},
		revoke() {
			removeFile(disk, path);
			record = { version: 1, proof: null, grant: null };
		},
		refusal(engineId) {
			if (record.grant === null) return "This host is not fused: an admin has to fuse it before its containers can be changed";
			if (record.grant.engineId === engineId) return undefined;
			return `This host is fused to engine "${record.grant.engineId}" and now has engine "${engineId}": unfuse it and fuse it anew`;
		},
	};
}

function load(disk: Disk, path: string): v.InferOutput<typeof recordSchema> {
	try {
		const text = disk.read(path);
		return text === undefined ? { version: 1, proof: null, grant: null } : v.parse(recordSchema, JSON.parse(text));
	} catch (error) {
		throw new Fatal(exitCodes.ioError, `Cannot read "${path}": ${reasonOf(error)}; remove it, and fuse this host anew`, { cause: error });
	}
}
