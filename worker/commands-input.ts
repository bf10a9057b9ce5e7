/** What comes for a command's stdin, kept until the command takes it. */
export interface CommandInput extends AsyncIterable<Uint8Array> {
	/** Adds bytes; false when more wait than are kept, and then the command is to end: a part of its input would be missing. */
	push(data: Uint8Array): boolean;
	/** No more will come. */
	end(): void;
}

// A person types bytes, a file is fed in pieces: four mebibytes are a command that does not read.
const waitingBytesMax = 4_194_304;

/** Makes an input, read by one reader. */
export function commandInput(): CommandInput {
	const waiting: Uint8Array[] = [];
	let bytes = 0;
	let ended = false;
	let wake: (() => void) | undefined;

	function rouse(): void {
		wake?.();
		wake = undefined;
	}

	async function* read(): AsyncGenerator<Uint8Array> {
		for (;;) {
			const data = waiting.shift();
			if (data !== undefined) {
				bytes -= data.length;
				yield data;
			} else if (ended) {
				return;
			} else {
				await new Promise<void>((resolve) => {
					wake = resolve;
				});
			}
		}
	}

	return {
		push(data) {
			if (bytes + data.length > waitingBytesMax) return false;
			if (ended) return true;
			waiting.push(data);
			bytes += data.length;
			rouse();
			return true;
		},
		end() {
			ended = true;
			rouse();
		},
		[Symbol.asyncIterator]: read,
	};
}
