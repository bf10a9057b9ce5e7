import { EngineError } from "./error.ts";

/** A piece of a container's output. */
export interface Output {
	readonly stream: "STDOUT" | "STDERR";
	readonly data: Uint8Array;
}

/** Takes a stream apart as it comes. */
export interface Demultiplexer {
	/** What a chunk brought, in order; a frame's content is handed out as far as it has come. Throws `EngineError` when it is no such stream. */
	push(chunk: Uint8Array): readonly Output[];
	/** Says that the stream has ended; throws `EngineError` when that was inside a frame. */
	end(): void;
}

const headerBytes = 8;

/**
 * Docker's framing of output without a terminal: one byte for the stream (0 and 1 stdout, 2 stderr), three zeros, the length in four bytes,
 * the content. Keeps no more than a header's eight bytes, however long a frame is.
 */
export function demultiplexer(): Demultiplexer {
	const header = new Uint8Array(headerBytes);
	let headerFilled = 0;
	let left = 0;
	let stream: Output["stream"] = "STDOUT";

	function readHeader(): void {
		const [kind, ...zeros] = header.subarray(0, 4);
		if (kind === undefined || kind > 2 || zeros.some((zero) => zero !== 0)) {
			throw new EngineError("docker_error", "Docker sent output that is not framed as its API says");
		}
		stream = kind === 2 ? "STDERR" : "STDOUT";
		left = new DataView(header.buffer).getUint32(4);
		headerFilled = 0;
	}

	return {
		push(chunk) {
			const outputs: Output[] = [];
			let at = 0;
			while (at < chunk.length) {
				if (left > 0) {
					const data = chunk.subarray(at, at + left);
					outputs.push({ stream, data });
					at += data.length;
					left -= data.length;
					continue;
				}
				const part = chunk.subarray(at, at + headerBytes - headerFilled);
				header.set(part, headerFilled);
				headerFilled += part.length;
				at += part.length;
				if (headerFilled === headerBytes) readHeader();
			}
			return outputs;
		},
		end() {
			if (left > 0 || headerFilled > 0) throw new EngineError("docker_unavailable", "Docker's output ended inside a frame");
		},
	};
}

/** The output in a body: framed, or with `tty` as it is, which is all stdout. */
export async function* readOutput(body: AsyncIterable<Uint8Array>, tty: boolean): AsyncGenerator<Output> {
	const frames = demultiplexer();
	for await (const chunk of body) {
		if (tty) yield { stream: "STDOUT", data: chunk };
		else yield* frames.push(chunk);
	}
	if (!tty) frames.end();
}
