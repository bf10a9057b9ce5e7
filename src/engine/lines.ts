import { EngineError } from "./error.ts";

// An event or a line of progress is well under a kilobyte, its labels included; whatever is longer is none.
const lineBytesMax = 1_048_576;

/** The JSON values of a stream that has one on each line. Throws `EngineError` for a line that is none, or has more than a mebibyte. */
export async function* readJsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
	const decoder = new TextDecoder();
	let rest = "";
	for await (const chunk of body) {
		const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
		rest = lines.pop() ?? "";
		if (rest.length > lineBytesMax) throw new EngineError("docker_error", "Docker sent a line of more than a mebibyte");
		for (const line of lines) if (line.trim() !== "") yield parse(line);
	}
	if (rest.trim() !== "") yield parse(rest);
}

function parse(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch (error) {
		throw new EngineError("docker_error", `Docker sent a line that is not JSON: ${line.slice(0, 100)}`, { cause: error });
	}
}
