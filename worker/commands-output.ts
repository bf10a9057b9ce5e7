import type { Output } from "../src/engine/frames.ts";
import { type CommandOutputChunk, outputChunkBytesMax, outputChunksInFlight } from "../src/protocol/commands.ts";

/** Takes a command's output to the server, no faster than the server takes it in. */
export interface OutputSender {
	/** Resolves once there is room for more: whoever reads a container's output waits for that, and so does the container. */
	write(output: Output): Promise<void>;
	/** Sends what is left; resolves when all of it was answered. */
	finish(): Promise<void>;
}

/**
 * Makes a sender. `send` delivers one chunk however long that takes, and says whether more is wanted; when not, `unwanted` is called, and what
 * follows is dropped. Holds at most `outputChunksInFlight` unanswered chunks and one that fills up meanwhile.
 */
export function outputSender(commandId: string, send: (chunk: CommandOutputChunk) => Promise<boolean>, unwanted: () => void): OutputSender {
	const inFlight = new Set<Promise<void>>();
	let sequence = 0;
	let wanted = true;
	let stream: Output["stream"] = "STDOUT";
	let held: Uint8Array[] = [];
	let heldBytes = 0;

	function dispatch(): void {
		if (heldBytes === 0) return;
		const data = Buffer.concat(held).toString("base64");
		held = [];
		heldBytes = 0;
		if (!wanted) return;
		const flight = send({ commandId, sequence, stream, data }).then((more) => {
			inFlight.delete(flight);
			if (!more && wanted) {
				wanted = false;
				unwanted();
			}
			// Small pieces that came meanwhile go together.
			if (inFlight.size < outputChunksInFlight) dispatch();
		});
		sequence += 1;
		inFlight.add(flight);
		// Whoever waits for room sees the failure; where nobody does, the command has ended.
		flight.catch(() => {});
	}

	async function room(): Promise<void> {
		while (wanted && inFlight.size >= outputChunksInFlight) await Promise.race(inFlight);
	}

	return {
		async write(output) {
			if (output.stream !== stream && heldBytes > 0) {
				await room();
				dispatch();
			}
			stream = output.stream;
			for (let at = 0; at < output.data.length; ) {
				const part = output.data.subarray(at, at + outputChunkBytesMax - heldBytes);
				// A copy: the piece is a part of whatever large block was read.
				held.push(Uint8Array.from(part));
				heldBytes += part.length;
				at += part.length;
				if (heldBytes < outputChunkBytesMax && inFlight.size >= outputChunksInFlight) continue;
				await room();
				dispatch();
			}
		},
		async finish() {
			await room();
			dispatch();
			while (inFlight.size > 0) await Promise.race(inFlight);
		},
	};
}
