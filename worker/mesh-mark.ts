import { join } from "node:path";
import * as v from "valibot";
import { type Disk, replaceFile } from "./disk.ts";

/** That this host was let into a mesh, as the worker notes it after the fact: the client writes its state before any login (H7). */
const markSchema = v.object({
	version: v.literal(1),
	controlUrl: v.string(),
	addresses: v.array(v.string()),
	nodeName: v.nullable(v.string()),
	joinedAt: v.string(),
});
export type MeshMark = Omit<v.InferOutput<typeof markSchema>, "version">;

/** Reads the mark of a mesh directory; undefined when there is none, or none that can be read: then the host has to join again. */
export function readMark(disk: Pick<Disk, "read">, meshDir: string): MeshMark | undefined {
	try {
		const parsed = v.safeParse(markSchema, JSON.parse(disk.read(markPath(meshDir)) ?? ""));
		return parsed.success ? parsed.output : undefined;
	} catch {
		return undefined;
	}
}

/** Sets the mark, durably. Throws `Fatal` 73. */
export function writeMark(disk: Disk, meshDir: string, mark: MeshMark): void {
	replaceFile(disk, markPath(meshDir), `${JSON.stringify({ version: 1, ...mark }, null, "\t")}\n`);
}

function markPath(meshDir: string): string {
	return join(meshDir, "joined.json");
}
