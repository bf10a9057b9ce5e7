/** Finds the workers that were built and tells what they are; reads their bytes in pieces only. */
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Target, targets, workerFileName } from "../protocol/targets.ts";

/** One worker, opened. The handle stays on the bytes it was opened on, whatever a build puts in their place. */
export interface WorkerFile {
	readonly handle: FileHandle;
	readonly size: number;
	readonly changedAtMs: number;
	/** SHA-256 of the worker, lower-case hex. */
	readonly sha256: string;
}

/** Opens workers below a `dist` directory. */
export interface WorkerFiles {
	/** Undefined: this target was not built. The caller closes the handle. */
	open(target: Target): Promise<WorkerFile | undefined>;
	/** The same worker compressed, when the build left it so beside it. The caller closes the handle. */
	openCompressed(target: Target, worker: WorkerFile): Promise<{ readonly handle: FileHandle; readonly size: number } | undefined>;
}

/** Bytes a read takes, and so what one download holds in memory. */
const pieceBytes = 128 * 1024;

/** Makes it. A checksum is worked out once for each file that a build leaves; many who ask at once wait for the same work. */
export function workerFiles(dist: string): WorkerFiles {
	const sums = new Map<string, Promise<string>>();

	async function opened(path: string): Promise<WorkerFile | undefined> {
		const handle = await open(path).catch(() => undefined);
		if (handle === undefined) return undefined;
		try {
			const { size, mtimeMs, ino, dev } = await handle.stat();
			const key = [path, dev, ino, size, mtimeMs].join(" ");
			const sha256 = await sumOf(key, path, handle, size);
			return { handle, size, changedAtMs: mtimeMs, sha256 };
		} catch (error) {
			await handle.close();
			throw error;
		}
	}

	function sumOf(key: string, path: string, handle: FileHandle, size: number): Promise<string> {
		const known = sums.get(key);
		if (known !== undefined) return known;
		// Only the newest of a path is kept: a server that sees a thousand builds holds no more than one sum for each place.
		for (const old of sums.keys()) if (old.startsWith(`${path} `)) sums.delete(old);
		const summing = sha256Of(handle, size);
		sums.set(key, summing);
		summing.catch(() => sums.delete(key));
		return summing;
	}

	/** Where a target lies: its own folder, or `dist` itself when what was built for this machine is that target and newer. */
	async function find(target: Target): Promise<string | undefined> {
		const name = workerFileName(target);
		const [own, single] = [join(dist, target, name), join(dist, name)];
		const [ownMs, singleMs] = [await changedAtMs(own), await changedAtMs(single)];
		if (singleMs !== undefined && singleMs > (ownMs ?? 0) && (await targetAt(single)) === target) return single;
		return ownMs === undefined ? undefined : own;
	}

	return {
		async open(target) {
			const path = await find(target);
			return path === undefined ? undefined : opened(path);
		},
		async openCompressed(target, worker) {
			const handle = await open(`${await find(target)}.gz`).catch(() => undefined);
			if (handle === undefined) return undefined;
			const { size, mtimeMs } = await handle.stat();
			// One that is older was made of another worker.
			if (mtimeMs >= worker.changedAtMs) return { handle, size };
			await handle.close();
			return undefined;
		},
	};
}

/**
 * The file's bytes as a stream that reads when its reader asks, and closes the handle however it ends.
 * @param stallMs a reader that takes nothing for this long is cut: neither runtime does that for a response
 */
export function streamOf(handle: FileHandle, size: number, stallMs: number): ReadableStream<Uint8Array<ArrayBuffer>> {
	let position = 0;
	let timer: ReturnType<typeof setTimeout> | undefined;
	async function end(): Promise<void> {
		clearTimeout(timer);
		await handle.close();
	}
	return new ReadableStream<Uint8Array<ArrayBuffer>>(
		{
			async pull(controller) {
				clearTimeout(timer);
				const piece = new Uint8Array(Math.min(pieceBytes, size - position));
				const { bytesRead } = await handle.read(piece, 0, piece.length, position);
				position += bytesRead;
				if (bytesRead > 0) controller.enqueue(piece.subarray(0, bytesRead));
				if (position === size) {
					await end();
					controller.close();
				} else if (bytesRead === 0) {
					await end();
					throw new Error("The file became shorter while it was read");
				} else {
					timer = setTimeout(() => {
						controller.error(new Error("The reader of the download takes nothing"));
						void end();
					}, stallMs);
				}
			},
			cancel: end,
		},
		{ highWaterMark: 0 },
	);
}

async function sha256Of(handle: FileHandle, size: number): Promise<string> {
	const hash = createHash("sha256");
	const piece = new Uint8Array(1024 * 1024);
	for (let position = 0; position < size; ) {
		const { bytesRead } = await handle.read(piece, 0, piece.length, position);
		if (bytesRead === 0) throw new Error("The file became shorter while it was read");
		hash.update(piece.subarray(0, bytesRead));
		position += bytesRead;
	}
	return hash.digest("hex");
}

/** Undefined: there is no such file. */
async function changedAtMs(path: string): Promise<number | undefined> {
	return stat(path).then(
		(found) => (found.isFile() ? found.mtimeMs : undefined),
		() => undefined,
	);
}

/** What a program that lies at `path` was built for; undefined when there is none, or for none of ours. */
async function targetAt(path: string): Promise<Target | undefined> {
	const handle = await open(path).catch(() => undefined);
	if (handle === undefined) return undefined;
	try {
		const head = Buffer.alloc(4_096);
		const { bytesRead } = await handle.read(head, 0, head.length, 0);
		return targetOf(head.subarray(0, bytesRead));
	} catch {
		return undefined;
	} finally {
		await handle.close();
	}
}

/** Tells a program's target from its first 4 KiB: the file's form, the processor, and the loader it asks for. Pure. */
export function targetOf(head: Buffer): Target | undefined {
	const system = systemOf(head);
	return targets.find((target) => target === system);
}

function systemOf(head: Buffer): string | undefined {
	if (head.length < 64) return undefined;
	if (head.readUInt32BE(0) === 0x7f454c46) {
		const processor = { 62: "x64", 183: "arm64" }[head.readUInt16LE(18)];
		return `linux-${processor}${head.includes("/ld-musl-") ? "-musl" : ""}`;
	}
	if (head.readUInt32LE(0) === 0xfeedfacf) return head.readUInt32LE(4) === 0x0100000c ? "darwin-arm64" : undefined;
	// Ours is the only one we build for Windows.
	return head.toString("latin1", 0, 2) === "MZ" ? "windows-x64" : undefined;
}
